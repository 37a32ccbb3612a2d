import { dirname } from 'node:path/posix'
import type { SourceFile } from '../tidy/files.ts'

/** What a package is, read from the folder that it lives in: the folders are the architecture. */
export type Role = 'core' | 'store' | 'broker' | 'framework' | 'tool'

export interface Package {
  readonly name: string
  /** Relative to the root, without a trailing slash: `packages/stores/redis`. */
  readonly folder: string
  readonly role: Role
  /** The ways in: `.` and whatever else `exports` lists. */
  readonly entries: readonly string[]
  readonly runtimeDependencies: readonly string[]
  /** Of these, what its users bring along. */
  readonly peerDependencies: readonly string[]
  readonly devDependencies: readonly string[]
}

const ROLES: readonly (readonly [RegExp, Role])[] = [
  [/^packages\/core$/, 'core'],
  [/^packages\/stores\/[^/]+$/, 'store'],
  [/^packages\/brokers\/[^/]+$/, 'broker'],
  [/^packages\/frameworks\/[^/]+$/, 'framework'],
  [/^packages\/tools\/[^/]+$/, 'tool'],
]
const RUNTIME_FIELDS = ['dependencies', 'peerDependencies', 'optionalDependencies'] as const

interface Manifest extends Partial<Record<(typeof RUNTIME_FIELDS)[number] | 'devDependencies', object>> {
  readonly name?: string
  readonly exports?: object
}

/** Finds the packages among the files; throws for one that stands in a folder of no role. */
export function findPackages(files: readonly SourceFile[]): Package[] {
  return files.filter(({ path }) => /^packages\/.*\/package\.json$/.test(path)).map(readPackage)
}

function readPackage({ path, text }: SourceFile): Package {
  const folder = dirname(path)
  const role = ROLES.find(([pattern]) => pattern.test(folder))?.[1]
  if (role === undefined)
    throw new Error(`${path}: a package stands in core or below a folder named for its role`)
  const manifest = JSON.parse(text) as Manifest
  return {
    name: manifest.name ?? '',
    folder,
    role,
    entries: Object.keys(manifest.exports ?? {}),
    runtimeDependencies: RUNTIME_FIELDS.flatMap((field) => Object.keys(manifest[field] ?? {})),
    peerDependencies: Object.keys(manifest.peerDependencies ?? {}),
    devDependencies: Object.keys(manifest.devDependencies ?? {}),
  }
}
