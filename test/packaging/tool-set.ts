import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runProgram } from './program.ts'
import type { Finished } from './program.ts'
import { ROOT, unpack } from './tarballs.ts'

const CACHE = join(ROOT, '.cache/tools')
const PROJECTS = fileURLToPath(new URL('projects', import.meta.url))
const UNREACHABLE = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH/

/** The reason to skip what needs an installation that could not be made. */
export const OFFLINE = 'the package registry cannot be reached, so that nothing could be installed'

/**
 * Runs `npm install` in `folder`. Answers false where the registry cannot be reached, which is no fault of
 * ours but where continuous integration runs. @throws Error when npm fails for another reason.
 */
export async function npmInstall(folder: string, packages: readonly string[]): Promise<boolean> {
  const args = ['install', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error']
  const { code, output } = await runProgram('npm', [...args, ...packages], folder)
  if (code === 0) return true
  if (UNREACHABLE.test(output) && process.env['ONCEMQ_REQUIRE_SERVICES'] !== '1') return false
  throw new Error(`npm install in ${folder} failed:\n${output}`)
}

/** Tools of a kind that users have, in versions that never change: installed once, and kept. */
export class ToolSet {
  readonly #folder: string
  readonly #packages: Readonly<Record<string, string>>

  constructor(name: string, packages: Readonly<Record<string, string>>) {
    const version = createHash('sha256').update(JSON.stringify(packages)).digest('hex').slice(0, 8)
    this.#folder = join(CACHE, `${name}-${version}`)
    this.#packages = packages
  }

  /** Answers whether the tools are there. Made aside, as other runs may look for them meanwhile. */
  async install(): Promise<boolean> {
    if (existsSync(this.#folder)) return true
    mkdirSync(CACHE, { recursive: true })
    const made = mkdtempSync(join(CACHE, 'made-'))
    const manifest = { name: 'tools', private: true, dependencies: this.#packages }
    writeFileSync(join(made, 'package.json'), JSON.stringify(manifest))
    const isInstalled = await npmInstall(made, [])
    if (isInstalled && !existsSync(this.#folder)) renameSync(made, this.#folder)
    else rmSync(made, { recursive: true, force: true })
    return isInstalled
  }

  /** A file of one of the tools. */
  file(path: string): string {
    return join(this.#folder, 'node_modules', path)
  }

  /** Makes a project that finds these tools, of the files in `projects/<name>`. */
  project(name: string): Project {
    const folder = mkdtempSync(join(this.#folder, `${name}-`))
    cpSync(join(PROJECTS, name), folder, { recursive: true })
    return new Project(folder)
  }
}

/** A user's project, below the tools that it uses. */
export class Project {
  readonly folder: string

  constructor(folder: string) {
    this.folder = folder
  }

  write(path: string, content: object): void {
    writeFileSync(join(this.folder, path), JSON.stringify(content))
  }

  /** Unpacks a package into `node_modules/<path>`, as npm would; as one of another version, if wanted. */
  async unpack(file: string, path: string, version?: string): Promise<void> {
    const target = join(this.folder, 'node_modules', path)
    await unpack(file, target)
    if (version === undefined) return
    const manifest = join(target, 'package.json')
    writeFileSync(manifest, JSON.stringify({ ...JSON.parse(readFileSync(manifest, 'utf8')), version }))
  }

  /** Adds packages that this workspace has, by the folder of one that depends on them. */
  link(owner: string, ...names: readonly string[]): void {
    for (const name of names) {
      const target = join(this.folder, 'node_modules', name)
      mkdirSync(dirname(target), { recursive: true })
      symlinkSync(join(ROOT, owner, 'node_modules', name), target)
    }
  }

  unlink(...names: readonly string[]): void {
    for (const name of names) rmSync(join(this.folder, 'node_modules', name))
  }

  /** Runs the Node.js that runs the tests. */
  node(...args: readonly string[]): Promise<Finished> {
    return this.run(process.execPath, ...args)
  }

  run(command: string, ...args: readonly string[]): Promise<Finished> {
    return runProgram(command, args, this.folder)
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}
