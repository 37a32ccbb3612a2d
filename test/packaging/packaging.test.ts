// What users get, checked as they get it: packed, linted, installed elsewhere and loaded both ways.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { admits, hostNode, ownNode } from './host-node.ts'
import { runProgram } from './program.ts'
import type { Finished } from './program.ts'
import { packAll, publicManifests, ROOT } from './tarballs.ts'
import type { Manifest, Tarball } from './tarballs.ts'
import { npmInstall, OFFLINE } from './tool-set.ts'

const INSTALL_TIMEOUT_MS = 300_000
/** Optional peers that a door loads at once; they are for its users alone. */
const NEEDED_BY_A_DOOR = ['@nestjs/microservices@12.1.1', '@nestjs/common@12.5.1', '@nestjs/core@12.5.1']

const folder = mkdtempSync(join(tmpdir(), 'oncemq-packaging-'))
const project = join(folder, 'project')
let tarballs: Tarball[] = []
let isInstalled = false

beforeAll(async () => {
  tarballs = await packAll()
  isInstalled = await install()
}, INSTALL_TIMEOUT_MS)

afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

function install(): Promise<boolean> {
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'scratch', private: true }))
  return npmInstall(project, [...tarballs.map(({ file }) => file), ...NEEDED_BY_A_DOOR])
}

describe.each(publicManifests())('$name', (manifest) => {
  const tarball = () => tarballs.find(({ manifest: { name } }) => name === manifest.name)?.file ?? ''

  test('publint finds nothing', async () => {
    const publint = join(ROOT, 'node_modules/publint/src/cli.js')
    const { code, output } = await runProgram(process.execPath, [publint, tarball(), '--strict'], ROOT)
    expect(code, output).toBe(0)
    expect(output).toContain('All good')
  })

  test('its types resolve, in every way in which TypeScript looks for them', async () => {
    const attw = join(ROOT, 'node_modules/@arethetypeswrong/cli/dist/index.js')
    const args = [attw, tarball(), '--format', 'ascii']
    const { code, output } = await runProgram(process.execPath, args, ROOT)
    expect(code, output).toBe(0)
  })

  test('import gives what it exports', async (context) => {
    context.skip(!isInstalled, OFFLINE)
    expect(await namesBy((name) => `await import('${name}')`, manifest)).not.toEqual([])
  })

  test('require gives the same, but for what needs vitest, which is to be imported', async (context) => {
    context.skip(!isInstalled, OFFLINE)
    const imported = await namesBy((name) => `await import('${name}')`, manifest)
    const { code, output } = await load(required, manifest)
    const expected = needsVitest(manifest) ? 'Vitest cannot be imported' : JSON.stringify(imported)
    expect(output).toContain(expected)
    expect(code).toBe(needsVitest(manifest) ? 1 : 0)
  })
})

function needsVitest({ peerDependencies = {} }: Manifest): boolean {
  return 'vitest' in peerDependencies
}

function required(specifier: string): string {
  return `createRequire(process.cwd() + '/')('${specifier}')`
}

/** The names that each way into the package exports, as a fresh process sees them. */
async function namesBy(way: (specifier: string) => string, manifest: Manifest): Promise<string[]> {
  const { code, output } = await load(way, manifest)
  expect(code, output).toBe(0)
  return JSON.parse(output) as string[]
}

function load(way: (specifier: string) => string, manifest: Manifest): Promise<Finished> {
  const loads = Object.keys(manifest.exports ?? {}).map((entry) => way(manifest.name + entry.slice(1)))
  const code = [
    "import { createRequire } from 'node:module'",
    `const loaded = [${loads.join(', ')}]`,
    'console.log(JSON.stringify(loaded.flatMap((entry) => Object.keys(entry)).sort()))',
  ]
  const args = ['--no-warnings', '--input-type=module', '--eval', code.join('\n')]
  return runProgram(nodeFor(manifest).path, args, project)
}

function nodeFor({ name, engines }: Manifest): typeof ownNode {
  const range = engines?.node
  if (range === undefined) throw new Error(`${name} has no engines.node`)
  const host = hostNode()
  return admits(range, host) ? host : ownNode
}
