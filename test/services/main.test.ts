import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { describeService } from './client/describe-service.ts'
import { isAlive } from './run/processes.ts'

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url))

interface Reply {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

// Servers that a person left in the background are found in the usual folder, and are none of our business.
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oncemq-main-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function services(...args: string[]): Promise<Reply> {
  const env = { ...process.env, TMPDIR: folder, DOCKER_HOST: 'unix:///nonexistent' }
  const child = spawn(process.execPath, [MAIN, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const exit = once(child, 'exit') as Promise<[number]>
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), exit])
  return { code, stdout, stderr }
}

interface Row {
  readonly name: string
  readonly state: string
  readonly url?: string
  readonly variable?: string
  readonly pids?: number[]
}

function rows({ stdout }: Reply): Row[] {
  return (JSON.parse(stdout) as { servers: Row[] }).servers
}

describeService('redis-8', () => {
  test('servers go up, stay up, and go down without a trace', async () => {
    const up = await services('up', 'redis-8', '--json')
    expect(up.code).toBe(0)
    expect(up.stderr).toMatch(/redis-8 ready/)
    const [row] = rows(up)
    expect(row).toMatchObject({ name: 'redis-8', state: 'ready', variable: 'ONCEMQ_REDIS_8_URL' })
    expect(rows(await services('up', 'redis-8', '--json'))).toEqual([row])
    expect(rows(await services('status', 'redis-8', '--json'))).toEqual([row])
    expect((await services('down')).stdout).toMatch(/^redis-8\s+stopped\n$/)
    expect(await isAlive(row?.pids?.[0] ?? 0)).toBe(false)
    expect(await readdir(folder)).toEqual([])
    expect((await services('status', 'redis-8')).stdout).toMatch(/^redis-8\s+stopped\n$/)
  })
})

test('servers of another clone are left alone', async () => {
  const theirs = join(folder, 'oncemq-background-01234567-aaaaaa')
  await mkdir(theirs)
  let connections = 0
  const supervisor = createServer(() => (connections += 1)).listen(join(theirs, 'socket'))
  onTestFinished(async () => {
    supervisor.close()
    await rm(theirs, { recursive: true })
  })
  expect(await services('down')).toMatchObject({ code: 0, stdout: 'nothing runs\n' })
  expect(connections).toBe(0)
})

describe('a name', () => {
  test.each([
    ['rabbitmq', 'rabbitmq-4.0'],
    ['redis', 'redis-8'],
    ['kafka', 'kafka-4.4'],
    ['mysql', 'mysql-8.0'],
    ['rocketmq', 'rocketmq'],
    ['kafka-3.9', 'kafka-3.9'],
  ])('%s means %s', async (name, server) => {
    expect(rows(await services('status', name, '--json'))).toMatchObject([{ name: server }])
  })
})

describe('a wrong command line', () => {
  test.each([
    [['upp'], 'expected up, down, status or install, received "upp"; see --help'],
    [[], 'expected up, down, status or install, received ""; see --help'],
    [['up', 'oracle'], 'no server is called oracle; --help lists the names'],
  ])('%j is answered in one line', async (args, message) => {
    expect(await services(...args)).toEqual({ code: 2, stdout: '', stderr: `services: ${message}\n` })
  })
})
