import type { SourceFile, Violation } from '../tidy/files.ts'
import { findPackages } from './packages.ts'
import type { Role } from './packages.ts'

type Requirement = readonly [what: string, matches: (path: string) => boolean]

// Whoever knows one store knows all of them, and likewise for brokers.
const REQUIRED: Partial<Record<Role, readonly Requirement[]>> = {
  store: [
    exactly('src/index.ts'),
    exactly('src/options.ts'),
    exactly('src/store.ts'),
    [
      'src/statements.ts (or src/scripts/*.lua)',
      (path) => /^src\/(statements\.ts|scripts\/[^/]+\.lua)$/.test(path),
    ],
  ],
  broker: ['index', 'options', 'consumer', 'message'].map((name) => exactly(`src/${name}.ts`)),
}

/** Stores look like stores, brokers like brokers. */
export function siblings(files: readonly SourceFile[]): Violation[] {
  return findPackages(files).flatMap(({ folder, role }) => {
    const own = files
      .filter(({ path }) => path.startsWith(`${folder}/`))
      .map(({ path }) => path.slice(folder.length + 1))
    return (REQUIRED[role] ?? [])
      .filter(([, matches]) => !own.some(matches))
      .map(([what]) => ({ path: folder, message: `a ${role} has ${what}, as its siblings do` }))
  })
}

function exactly(wanted: string): Requirement {
  return [wanted, (path) => path === wanted]
}
