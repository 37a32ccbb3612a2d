import type { BrokenAdapter } from './broken-adapter.ts'
import { brokenDecisions } from './broken-decisions.ts'
import { brokenVerbs } from './broken-verbs.ts'

export const brokenAdapters: readonly BrokenAdapter[] = [...brokenDecisions, ...brokenVerbs]
