import type { Mutation } from './run.ts'

/** A fault that somebody may write one day, and the promise that the oracle must see broken. */
export interface Mutant {
  readonly name: string
  readonly breaks: string
  readonly mutation: Mutation
}
