import { engineMutants } from './engine-mutants.ts'
import type { Mutant } from './mutant.ts'
import { serverMutants } from './server-mutants.ts'

export const mutants: readonly Mutant[] = [...serverMutants, ...engineMutants]
