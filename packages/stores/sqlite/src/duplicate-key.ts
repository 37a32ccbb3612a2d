import { types } from 'node:util'
import type { DatabaseSync } from 'node:sqlite'
import type { Finding, UniqueKey } from '@oncemq/core/store'
import { driverErrorOn, gapFindings, printable, StoreError, violatedKeyIn } from '@oncemq/core/store'

/** Extended result codes: of a primary key, a unique index, and a row id. */
const DUPLICATES: ReadonlySet<unknown> = new Set([1555, 2067, 2579])
// What other clients of SQLite say it by, which have no number or only the primary one.
const CODE = /^SQLITE_CONSTRAINT(?:_PRIMARYKEY|_UNIQUE|_ROWID)?$/
const FAILED = 'UNIQUE constraint failed: '

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
  // Node's own error, which in jest is of another realm than this code.
  if (!types.isNativeError(error)) return undefined
  const { code, errcode } = error as ClientError
  if (!DUPLICATES.has(errcode) && !(typeof code === 'string' && CODE.test(code))) return undefined
  // What stands before is of whoever wrapped it; SQLite puts no values in.
  const at = error.message.lastIndexOf(FAILED)
  return at < 0 ? undefined : [error.message.slice(at + FAILED.length)]
}

// A rowid table has no index for its integer primary key, so its columns are asked for themselves. That other
// primary keys may be NULL here is not told: nobody means it.
const KEYS = `
  SELECT group_concat(name, ', ') AS name, 0 AS isPartial, 0 AS isNullable FROM (
    SELECT m.name AS key, m.name || '.' || c.name AS name FROM sqlite_schema m, pragma_table_info(m.name) c
    WHERE m.type = 'table' AND c.pk > 0 ORDER BY m.name, c.pk)
  GROUP BY key
  UNION ALL
  SELECT CASE WHEN count(c.name) < count(*) THEN 'index ''' || i.name || ''''
    ELSE group_concat(m.name || '.' || c.name, ', ') END,
    i.partial, max(coalesce(NOT t."notnull", 0))
  FROM sqlite_schema m, pragma_index_list(m.name) i, pragma_index_info(i.name) c
  LEFT JOIN pragma_table_info(m.name) t ON t.name = c.name
  WHERE m.type = 'table' AND i."unique" = 1 AND i.origin <> 'pk'
  GROUP BY m.name, i.name`

/** Asks the database when its lock is free. */
type Look = <Answer>(ask: (database: DatabaseSync) => Answer) => Promise<Answer>

/** A unique key, by its table and columns: see the contract's `UniqueKey`. */
export class SqliteUniqueKey implements UniqueKey<DatabaseSync> {
  readonly #look: Look
  readonly #name: string

  constructor(look: Look, name: string) {
    this.#look = look
    this.#name = name
  }

  async check(): Promise<readonly Finding[]> {
    const keys = await this.#look((database) => database.prepare(KEYS).all())
    const found = keys.filter((key) => key['name'] === this.#name)
    if (found.length === 0) throw this.#unfit()
    const isAlways = (gap: string): boolean => found.every((key) => key[gap] === 1)
    return gapFindings(this.#name, { isNullable: isAlways('isNullable'), isPartial: isAlways('isPartial') })
  }

  isViolatedBy(thrown: unknown, tx: DatabaseSync | undefined): boolean {
    const made = tx === undefined ? thrown : driverErrorOn(tx, thrown)
    return violatedKeyIn(made, duplicateKeyOf).includes(this.#name)
  }

  #unfit(): StoreError {
    return new StoreError(
      'ONCEMQ_TABLE_UNFIT',
      `SqliteStore: expected a unique key of the columns '${printable(this.#name)}', received none; ` +
        "name each with its table, such as 'orders.id' or 'orders.shop, orders.number', or create it",
    )
  }
}
