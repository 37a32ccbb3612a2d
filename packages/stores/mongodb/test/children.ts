import { startProgram } from '@oncemq/test-stores/children'
import type { Child } from '@oncemq/test-stores/children'

const program = new URL('child.ts', import.meta.url)

type Role = 'open' | 'claim' | 'churn' | 'transact'

/** Starts another process on the collection. */
export function startChild(role: Role, url: string, collection: string): Child {
  return startProgram(program, [role, url, collection])
}
