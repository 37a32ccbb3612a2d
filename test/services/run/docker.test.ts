import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { servers } from '../servers/catalogue.ts'
import { startContainer } from './docker.ts'
import { Ports } from './ports.ts'
import type { Recipe } from './recipe.ts'

const ports = new Ports()
const wanted = { own: true, settings: { args: [], env: {} } }
let folder: string
let ended: (() => Promise<void>)[]

/** Stands in for the engine, which not every machine has: it only notes down what it is told. */
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oncemq-docker-'))
  ended = []
  const script = `#!/bin/sh\necho "$ONCEMQ_PORT $*" >> ${join(folder, 'calls')}\n`
  await writeFile(join(folder, 'docker'), script, { mode: 0o755 })
  vi.stubEnv('PATH', `${folder}${delimiter}${process.env['PATH']}`)
})

afterEach(async () => {
  vi.unstubAllEnvs()
  ports.close()
  await rm(folder, { recursive: true })
})

async function start(recipe: Recipe): ReturnType<typeof startContainer> {
  return startContainer(recipe, wanted, { folder, ports, enter: () => {}, atEnd: (end) => ended.push(end) })
}

test('a container is started, killed, started again and removed with its data', async () => {
  const recipe = servers.find(({ name }) => name === 'redis-8')
  if (recipe === undefined) throw new Error('no recipe')
  const server = await start(recipe)
  await server.do('kill9')
  await server.do('start')
  await ended[0]?.()
  const port = new URL(server.describe().url).port
  const calls = (await readFile(join(folder, 'calls'), 'utf8')).trim().split('\n')
  const ofService = calls.filter((call) => call.startsWith(port))
  expect(ofService.map((call) => call.replace(/^.*--project-name oncemq-\d+-\d+ /, ''))).toEqual([
    'up --detach --wait redis-8',
    'kill --signal SIGKILL redis-8',
    'up --detach --wait redis-8',
    'down --volumes --timeout 0',
  ])
})

test('compose.yaml has each server of which there is a container, and no other', async () => {
  const text = await readFile(new URL('../../../compose.yaml', import.meta.url), 'utf8')
  const services = text.slice(text.indexOf('\nservices:'), text.indexOf('\nconfigs:'))
  const described = [...services.matchAll(/^ {2}(\S+):$/gm)].map(([, name]) => name)
  const recipes: readonly Recipe[] = servers
  const withContainer = recipes.filter(({ container }) => container !== undefined)
  expect(new Set(described)).toEqual(new Set(withContainer.map(({ name }) => name)))
})

test('a server without a container is told so', async () => {
  const cluster = servers.find(({ name }) => name === 'redis-cluster')
  if (cluster === undefined) throw new Error('no recipe')
  await expect(start(cluster)).rejects.toThrow('there is no container of it')
})
