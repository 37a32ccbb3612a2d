import { startProgram } from '@oncemq/test-stores/children'
import type { Child } from '@oncemq/test-stores/children'

const program = new URL('child.ts', import.meta.url)

/** Starts another process on a table. */
export function startChild(role: 'claim' | 'transact' | 'batch', url: string, table: string): Child {
  return startProgram(program, [role, url, table])
}
