import { printable, StoreError } from '@oncemq/core/store'
import type { Connections } from './connection.ts'
import { errorNumber } from './errors.ts'
import { text } from './literals.ts'

const DUPLICATE_ENTRY = 1062

// The last words of the message: what stands before is the value, which a sender may have chosen.
const KEY = /for key '([^']+)'$/
const COMMENT = String.raw`(?:/\*[^]*?\*/\s*)*`
const NAME = String.raw`(?:\`[^\`]+\`|[\w$]+)`
const TARGET = new RegExp(
  String.raw`^\s*${COMMENT}(?:insert|replace|update)\s+` +
    String.raw`(?:(?:low_priority|high_priority|delayed|ignore)\s+)*(?:into\s+)?` +
    String.raw`(?:${NAME}\s*\.\s*)?(${NAME})`,
  'i',
)

interface ServerError {
  readonly sqlMessage?: unknown
  readonly sql?: unknown
}

const noted = new WeakMap<object, readonly string[]>()

/**
 * The unique index that an error of `mysql2` says was violated, with its table: `orders.PRIMARY`. `undefined`
 * for any other error. MySQL names the table since 8.0.19; MariaDB does not, so that there the statement of
 * the error tells it, which for an insert by a trigger is another table than that of the index: give such an
 * index a name that no other table has. For `naturalKey` with a client of your own.
 * @example naturalKey({ constraint: 'orders.PRIMARY', duplicateKeyOf })
 */
export function duplicateKeyOf(error: unknown): readonly string[] | undefined {
  if (!(error instanceof Error) || errorNumber(error) !== DUPLICATE_ENTRY) return undefined
  const known = noted.get(error)
  if (known !== undefined) return known
  const { sqlMessage, sql } = error as ServerError
  const key = KEY.exec(typeof sqlMessage === 'string' ? sqlMessage : error.message)?.[1]
  if (key === undefined) return undefined
  if (key.includes('.')) return [key]
  const table = typeof sql === 'string' ? TARGET.exec(sql)?.[1]?.replaceAll('`', '') : undefined
  return table === undefined ? [] : [`${table}.${key}`]
}

/** Notes what an error says before its statement is taken away, which may hold values. */
export function noteDuplicateKey(error: unknown): void {
  const names = duplicateKeyOf(error)
  if (names !== undefined) noted.set(error as object, names)
}

/** @throws StoreError `ONCEMQ_TABLE_UNFIT` unless the database has a unique index `table.index`. */
export async function requireUniqueKey(connections: Connections, name: string): Promise<void> {
  const find =
    'SELECT DISTINCT index_name FROM information_schema.statistics WHERE table_schema = DATABASE() ' +
    `AND non_unique = 0 AND CONCAT(table_name, '.', index_name) = ${text(name)}`
  const { length } = await connections.read(find, { ofManyRows: true })
  if (length === 1) return
  throw new StoreError(
    'ONCEMQ_TABLE_UNFIT',
    `MysqlStore: expected one unique index '${printable(name)}', received ${length}; ` +
      "name it with its table, such as 'orders.PRIMARY', or create it (SHOW INDEX FROM the table shows it)",
  )
}
