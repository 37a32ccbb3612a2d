import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { withLock } from '../../scripts/lock.mjs'
import { runProgram } from './program.ts'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Names the folder that all test files of one run share. */
export const RUN_FOLDER = 'ONCEMQ_TEST_RUN_FOLDER'

/** The parts of a published package.json that the checks read. */
export interface Manifest {
  readonly name: string
  readonly version: string
  readonly private?: boolean
  readonly engines?: { readonly node?: string }
  readonly exports?: Readonly<Record<string, unknown>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
}

export interface Tarball {
  readonly file: string
  readonly manifest: Manifest
}

/** Builds everything and packs every public package, as a release does: once in each run of the tests. */
export async function packAll(): Promise<Tarball[]> {
  const run = process.env[RUN_FOLDER]
  if (run === undefined) throw new Error(`expected ${RUN_FOLDER} to be set by setup.ts, found nothing`)
  const folder = join(run, 'packages')
  await withLock(join(run, 'packages.lock'), ignored, async () => {
    if (!existsSync(folder)) await buildInto(folder)
  })
  const files = new Set(readdirSync(folder))
  return publicManifests().map((manifest) => {
    const name = `${manifest.name.replace('@', '').replace('/', '-')}-${manifest.version}.tgz`
    if (!files.has(name)) throw new Error(`${manifest.name} was not packed: expected ${name}`)
    return { file: join(folder, name), manifest }
  })
}

function ignored(): void {
  // Another file builds, and this one waits for it.
}

async function buildInto(folder: string): Promise<void> {
  const { code, output } = await runProgram(process.execPath, ['scripts/build.mjs', `--pack=${folder}`], ROOT)
  if (code === 0) return
  rmSync(folder, { recursive: true, force: true })
  throw new Error(`the build ended with ${code}:\n${output}`)
}

/** The manifests of what is published, read from the tree, in which a build may be at work. */
export function publicManifests(): Manifest[] {
  return [...foldersIn('packages'), ...foldersIn('packages').flatMap(foldersIn)]
    .map((folder) => join(ROOT, folder, 'package.json'))
    .filter((path) => existsSync(path))
    .map((path) => JSON.parse(readFileSync(path, 'utf8')) as Manifest)
    .filter((manifest) => manifest.private !== true)
}

function foldersIn(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !['node_modules', 'dist'].includes(entry.name))
    .map(({ name }) => join(folder, name))
}

/** Unpacks a package into `target`, as npm would. */
export async function unpack(file: string, target: string): Promise<void> {
  mkdirSync(target, { recursive: true })
  const args = ['-xzf', file, '--strip-components=1', '-C', target]
  const { code, output } = await runProgram('tar', args, ROOT)
  if (code !== 0) throw new Error(`${file} could not be unpacked:\n${output}`)
}
