import { engineMutants } from './engine-mutants.ts'
import type { Mutation } from './run.ts'
import { serverMutants } from './server-mutants.ts'

/** A fault that somebody may write one day, and the promise that the oracle must see broken. */
export interface Mutant {
  readonly name: string
  readonly breaks: string
  readonly mutation: Mutation
}

export const mutants: readonly Mutant[] = [...serverMutants, ...engineMutants]
