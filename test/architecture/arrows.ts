import { isBuiltin } from 'node:module'
import { join } from 'node:path/posix'
import type { SourceFile, Violation } from '../tidy/files.ts'
import { findImports } from './imports.ts'
import type { Import } from './imports.ts'
import { findPackages } from './packages.ts'
import type { Package } from './packages.ts'

const CORE = '@oncemq/core'
const SCOPE = '@oncemq/'
// What is not published: tests, and what only they use. Here a package may lean on its devDependencies.
const UNPUBLISHED = /\.test\.ts$|\/test\//
// These hold only for the root: tools that every package may use in its tests.
const ROOT_MANIFEST = 'package.json'

/**
 * brokers -> core <- stores; frameworks and tools -> core, and brokers and stores as peers; core -> nothing.
 * Read from the manifests.
 */
export function dependencies(files: readonly SourceFile[]): Violation[] {
  const packages = findPackages(files)
  const plugins = packages.filter(({ role }) => role === 'store' || role === 'broker').map(({ name }) => name)
  return packages.flatMap(({ folder, role, runtimeDependencies, peerDependencies }) => {
    const peers = role === 'framework' || role === 'tool' ? peerDependencies : []
    const isAllowed = (name: string): boolean =>
      !isOther(name) || name === CORE || (peers.includes(name) && plugins.includes(name))
    const forbidden =
      role === 'core' ? runtimeDependencies : runtimeDependencies.filter((name) => !isAllowed(name))
    const allowed = role === 'core' ? 'nothing' : `${CORE} and packages of others`
    return forbidden.map((name) => ({
      path: `${folder}/package.json`,
      message: `a ${role} depends on ${name}: it may depend on ${allowed}`,
    }))
  })
}

/** The same arrows, read from the imports; and every import goes through a front door that is declared. */
export function imports(files: readonly SourceFile[]): Violation[] {
  const packages = findPackages(files)
  const rootTools = rootDevDependencies(files)
  return findImports(files).flatMap((found) => {
    const home = packages.find(({ folder }) => found.from.startsWith(`${folder}/`))
    const message = found.specifier.startsWith('.')
      ? judgeRelative(found, home)
      : judgeBare(found, home, packages, rootTools)
    return message === undefined ? [] : [{ path: found.from, line: found.line, message }]
  })
}

function judgeRelative({ from, specifier }: Import, home: Package | undefined): string | undefined {
  const target = join(from, '..', specifier)
  const folder = home?.folder ?? homeFolder(from)
  const stays = folder === undefined ? !target.startsWith('packages/') : target.startsWith(`${folder}/`)
  return stays ? undefined : `"${specifier}" reaches into another package: import it by its name`
}

// An example stands alone; the tests across packages may share among themselves.
function homeFolder(path: string): string | undefined {
  return /^examples\/[^/]+(?=\/)/.exec(path)?.[0]
}

function judgeBare(
  { from, specifier }: Import,
  home: Package | undefined,
  packages: readonly Package[],
  rootTools: ReadonlySet<string>,
): string | undefined {
  const { name, entry } = split(specifier)
  const target = packages.find((candidate) => candidate.name === name)
  if (target !== undefined && !target.entries.includes(entry)) {
    return `"${specifier}" is a deep import: ${name} opens ${target.entries.join(', ')}`
  }
  if (home === undefined || isBuiltin(specifier) || name === home.name) return undefined
  if (home.runtimeDependencies.includes(name)) return undefined
  if (UNPUBLISHED.test(from)) {
    if (home.devDependencies.includes(name) || rootTools.has(name)) return undefined
    return `"${name}" is not in the devDependencies of ${home.name}`
  }
  return `"${name}" is not in the dependencies or peerDependencies of ${home.name}`
}

function rootDevDependencies(files: readonly SourceFile[]): Set<string> {
  const root = files.find(({ path }) => path === ROOT_MANIFEST)
  const manifest = JSON.parse(root?.text ?? '{}') as { devDependencies?: object }
  return new Set(Object.keys(manifest.devDependencies ?? {}))
}

function isOther(name: string): boolean {
  return name.startsWith(SCOPE)
}

/** `@scope/name/a/b` -> name `@scope/name`, entry `./a/b`. */
function split(specifier: string): { name: string; entry: string } {
  const parts = specifier.split('/')
  const length = specifier.startsWith('@') ? 2 : 1
  const rest = parts.slice(length).join('/')
  return { name: parts.slice(0, length).join('/'), entry: rest === '' ? '.' : `./${rest}` }
}
