// What users get, checked as they get it: packed, linted, installed elsewhere and loaded both ways.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { admits, hostNode, ownNode, requiresModules } from './host-node.ts'
import { runProgram } from './program.ts'
import { packAll, publicManifests, ROOT } from './tarballs.ts'
import type { Manifest, Tarball } from './tarballs.ts'

const INSTALL_TIMEOUT_MS = 300_000
const UNREACHABLE = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH/
const OFFLINE = 'the package registry cannot be reached, so that nothing could be installed'

const folder = mkdtempSync(join(tmpdir(), 'oncemq-packaging-'))
const project = join(folder, 'project')
let tarballs: Tarball[] = []
let isInstalled = false

beforeAll(async () => {
  tarballs = await packAll(folder)
  isInstalled = await install()
}, INSTALL_TIMEOUT_MS)

afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

async function install(): Promise<boolean> {
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'scratch', private: true }))
  const args = ['install', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error']
  const { code, output } = await runProgram('npm', [...args, ...tarballs.map(({ file }) => file)], project)
  if (code === 0) return true
  if (UNREACHABLE.test(output) && process.env['ONCEMQ_REQUIRE_SERVICES'] !== '1') return false
  throw new Error(`npm install of the packed packages failed:\n${output}`)
}

describe.each(publicManifests())('$name', (manifest) => {
  const tarball = () => tarballs.find(({ manifest: { name } }) => name === manifest.name)?.file ?? ''

  test('publint finds nothing', async () => {
    const publint = join(ROOT, 'node_modules/publint/src/cli.js')
    const { code, output } = await runProgram(process.execPath, [publint, tarball(), '--strict'], ROOT)
    expect(code, output).toBe(0)
    expect(output).toContain('All good')
  })

  test('its types resolve', async () => {
    const attw = join(ROOT, 'node_modules/@arethetypeswrong/cli/dist/index.js')
    const args = [attw, tarball(), '--profile', 'esm-only', '--format', 'ascii']
    const { code, output } = await runProgram(process.execPath, args, ROOT)
    expect(code, output).toBe(0)
  })

  test('import gives what it exports', async (context) => {
    context.skip(!isInstalled, OFFLINE)
    expect(await namesBy((name) => `await import('${name}')`, manifest)).not.toEqual([])
  })

  test('require gives the same', async (context) => {
    context.skip(!isInstalled, OFFLINE)
    const node = nodeFor(manifest)
    context.skip(!requiresModules(node), `Node.js ${node.version.join('.')} cannot require ES modules`)
    const imported = await namesBy((name) => `await import('${name}')`, manifest)
    expect(await namesBy((name) => `createRequire(process.cwd() + '/')('${name}')`, manifest)).toEqual(
      imported,
    )
  })
})

/** The names that each way into the package exports, as a fresh process sees them. */
async function namesBy(load: (specifier: string) => string, manifest: Manifest): Promise<string[]> {
  const loads = Object.keys(manifest.exports ?? {}).map((entry) => load(manifest.name + entry.slice(1)))
  const code = [
    "import { createRequire } from 'node:module'",
    `const loaded = [${loads.join(', ')}]`,
    'console.log(JSON.stringify(loaded.flatMap((entry) => Object.keys(entry)).sort()))',
  ]
  const args = ['--no-warnings', '--input-type=module', '--eval', code.join('\n')]
  const { code: exitCode, output } = await runProgram(nodeFor(manifest).path, args, project)
  expect(exitCode, output).toBe(0)
  return JSON.parse(output) as string[]
}

function nodeFor({ name, engines }: Manifest): typeof ownNode {
  const range = engines?.node
  if (range === undefined) throw new Error(`${name} has no engines.node`)
  const host = hostNode()
  return admits(range, host) ? host : ownNode
}
