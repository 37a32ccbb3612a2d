import type { DatabaseSync } from 'node:sqlite'
import { printable, StoreError } from '@oncemq/core/store'

/** Extended result codes: of a primary key, a unique index, and a row id. */
const DUPLICATES: ReadonlySet<unknown> = new Set([1555, 2067, 2579])
// What other clients of SQLite say it by, which have no number or only the primary one.
const CODE = /^SQLITE_CONSTRAINT/
// What stands before is of whoever wrapped it; SQLite puts no values in.
const COLUMNS = /UNIQUE constraint failed: ((?:index ')?[^:']+'?)$/

interface ClientError {
  readonly code?: unknown
  readonly errcode?: unknown
}

/**
 * The unique key that an error of `node:sqlite` says was violated, as SQLite names it: by its table and
 * columns, `orders.id` or `orders.shop, orders.number`; an index on an expression as `index 'name'`.
 * `undefined` for any other error. Understands `better-sqlite3` and `sqlite3` too. For `naturalKey` with a
 * client of your own.
 * @example naturalKey({ constraint: 'orders.id', duplicateKeyOf })
 */
export function duplicateKeyOf(error: unknown): readonly string[] | undefined {
  if (!(error instanceof Error)) return undefined
  const { code, errcode } = error as ClientError
  if (!DUPLICATES.has(errcode) && !(typeof code === 'string' && CODE.test(code))) return undefined
  const name = COLUMNS.exec(error.message)?.[1]
  return name === undefined ? undefined : [name]
}

// A rowid table has no index for its integer primary key, so its columns are asked for themselves.
const KEYS = `
  SELECT group_concat(name, ', ') AS name FROM (
    SELECT m.name AS key, m.name || '.' || c.name AS name FROM sqlite_schema m, pragma_table_info(m.name) c
    WHERE m.type = 'table' AND c.pk > 0 ORDER BY m.name, c.pk)
  GROUP BY key
  UNION ALL
  SELECT CASE WHEN count(c.name) < count(*) THEN 'index ''' || i.name || ''''
    ELSE group_concat(m.name || '.' || c.name, ', ') END
  FROM sqlite_schema m, pragma_index_list(m.name) i, pragma_index_info(i.name) c
  WHERE m.type = 'table' AND i."unique" = 1 AND i.origin <> 'pk'
  GROUP BY m.name, i.name`

/** @throws StoreError `ONCEMQ_TABLE_UNFIT` unless the database has a unique key of these columns. */
export function requireUniqueKey(database: DatabaseSync, name: string): void {
  const keys = database.prepare(KEYS).all()
  if (keys.some((key) => key['name'] === name)) return
  throw new StoreError(
    'ONCEMQ_TABLE_UNFIT',
    `SqliteStore: expected a unique key of the columns '${printable(name)}', received none; ` +
      "name each with its table, such as 'orders.id' or 'orders.shop, orders.number', or create it",
  )
}
