import type { DatabaseSync } from 'node:sqlite'
import type { Finding, RowId, StateTable, StateTableNames } from '@oncemq/core/store'
import { printable, quotedColumn, quotedName, StoreError } from '@oncemq/core/store'

const INDEXED = `
  SELECT 1 FROM pragma_table_info(?1, ?3) WHERE pk = 1 AND lower(name) = lower(?2)
  UNION ALL
  SELECT 1 FROM pragma_index_list(?1, ?3) i, pragma_index_info(i.name, ?3) c
  WHERE c.seqno = 0 AND lower(c.name) = lower(?2) LIMIT 1`

/** Moves rows of a table from state to state: see the contract's `StateTable`. */
export class SqliteStateTable implements StateTable<DatabaseSync> {
  readonly #database: () => DatabaseSync
  readonly #names: StateTableNames
  readonly #table: string
  readonly #id: string
  readonly #state: string

  constructor(database: () => DatabaseSync, names: StateTableNames) {
    this.#database = database
    this.#names = names
    this.#table = quotedName('table', names.table, quoted)
    this.#id = quotedColumn(names.id, quoted)
    this.#state = quotedColumn(names.state, quoted)
  }

  async check(): Promise<readonly Finding[]> {
    const [schema, table] = this.#names.table.includes('.')
      ? (this.#names.table.split('.') as [string, string])
      : (['main', this.#names.table] as const)
    // By the schema, since SQLite takes a quoted name that is no column for a text.
    const database = this.#database()
    const rows = database
      .prepare('SELECT lower(name) AS name FROM pragma_table_xinfo(?, ?)')
      .all(table, schema)
    const columns = new Set(rows.map(({ name }) => name))
    for (const column of [this.#names.id, this.#names.state]) {
      if (!columns.has(column.toLowerCase()))
        throw this.#unfit(columns.size === 0 ? 'no such table' : 'another')
    }
    const isIndexed = database.prepare(INDEXED).get(table, this.#names.id, schema) !== undefined
    return isIndexed ? [] : [noIndex(this.#names)]
  }

  async move(
    tx: DatabaseSync,
    { id, from, to }: { readonly id: RowId; readonly from: readonly string[]; readonly to: string },
  ) {
    if (typeof id === 'object') return 'unfit-id'
    const places = from.map(() => '?').join(', ')
    const sql =
      `UPDATE ${this.#table} SET ${this.#state} = ? ` +
      `WHERE ${this.#id} = ? AND ${this.#state} IN (${places})`
    const { changes } = tx.prepare(sql).run(to, bound(id), ...from)
    return Number(changes) > 0 ? 'moved' : 'not-moved'
  }

  /** The transaction has the write lock from its start, so that nobody moves the row meanwhile. */
  async read(tx: DatabaseSync, id: RowId): Promise<string | undefined> {
    if (typeof id === 'object') return undefined
    const sql = `SELECT CAST(${this.#state} AS TEXT) AS state FROM ${this.#table} WHERE ${this.#id} = ?`
    const row = tx.prepare(sql).get(bound(id)) as { readonly state: string | null } | undefined
    return row === undefined ? undefined : (row.state ?? '')
  }

  #unfit(what: string): StoreError {
    const { table, id, state } = this.#names
    return new StoreError(
      'ONCEMQ_TABLE_UNFIT',
      `SqliteStore: expected a table ${printable(table)} with the columns ${id} and ${state}, ` +
        `received ${what}; correct the names`,
    )
  }
}

/** The driver binds a number as a real one, which a column of texts compares as '7.0'. */
function bound(id: string | number | bigint): string | bigint {
  return typeof id === 'number' ? BigInt(id) : id
}

function quoted(name: string): string {
  return `"${name}"`
}

function noIndex({ table, id }: StateTableNames): Finding {
  return {
    severity: 'warning',
    code: 'state-index-missing',
    found: `No index of ${table} begins with ${id}, so that each message reads the whole table.`,
    remedy: `Create it: CREATE INDEX ${id}_index ON ${table} (${id}).`,
  }
}
