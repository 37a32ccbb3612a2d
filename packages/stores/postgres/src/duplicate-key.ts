import { printable, StoreError } from '@oncemq/core/store'
import type { Connections } from './connection.ts'

const UNIQUE_VIOLATION = '23505'

interface ServerError {
  readonly code?: unknown
  readonly constraint?: unknown
  readonly schema?: unknown
}

/**
 * The unique constraint or index that an error of `pg` says was violated: `orders_pkey`, and with its schema
 * `public.orders_pkey`. `undefined` for any other error. For `naturalKey` with a client of your own.
 * @example naturalKey({ constraint: 'orders_pkey', duplicateKeyOf })
 */
export function duplicateKeyOf(error: unknown): readonly string[] | undefined {
  if (!(error instanceof Error)) return undefined
  const { code, constraint, schema } = error as ServerError
  if (code !== UNIQUE_VIOLATION || typeof constraint !== 'string') return undefined
  return typeof schema === 'string' ? [constraint, `${schema}.${constraint}`] : [constraint]
}

// Constraints that are unique have an index of their name.
const FIND = `
  SELECT n.nspname AS answer FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE i.indisunique AND i.indisvalid AND $1::text IN (c.relname::text, n.nspname || '.' || c.relname)`

/** @throws StoreError `ONCEMQ_TABLE_UNFIT` unless there is exactly one unique index of this name. */
export async function requireUniqueKey(connections: Connections, name: string): Promise<void> {
  const { length } = await connections.run(FIND, [name])
  if (length === 1) return
  throw new StoreError(
    'ONCEMQ_TABLE_UNFIT',
    `PostgresStore: expected one unique constraint or index '${printable(name)}', received ${length}; ` +
      (length === 0
        ? 'create it, or correct the name (\\d shows it)'
        : "name it with its schema: 'app.name'"),
  )
}
