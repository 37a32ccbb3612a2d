import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runProgram } from './program.ts'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

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

/** Builds everything and packs every public package into `folder`, just as a release does. */
export async function packAll(folder: string): Promise<Tarball[]> {
  const { code, output } = await runProgram(process.execPath, ['scripts/build.mjs', `--pack=${folder}`], ROOT)
  if (code !== 0) throw new Error(`the build ended with ${code}:\n${output}`)
  const files = new Set(readdirSync(folder))
  return publicManifests().map((manifest) => {
    const name = `${manifest.name.replace('@', '').replace('/', '-')}-${manifest.version}.tgz`
    if (!files.has(name)) throw new Error(`${manifest.name} was not packed: expected ${name}`)
    return { file: join(folder, name), manifest }
  })
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
