import type { SqliteStoreOptions } from '@oncemq/sqlite'
import { startProgram } from '@oncemq/test-stores/children'
import type { Child } from '@oncemq/test-stores/children'

const program = new URL('child.ts', import.meta.url)

type Role = 'open' | 'claim' | 'churn' | 'transact' | 'batch' | 'lock'

/** Starts another process on `file`. */
export function startChild(role: Role, file: string, options: SqliteStoreOptions = {}, uid?: number): Child {
  return startProgram(program, [role, file, JSON.stringify(options)], uid)
}
