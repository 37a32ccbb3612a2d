import type { Finding, RowId, StateTable, StateTableNames } from '@oncemq/core/store'
import { connectionOf, printable, quotedColumn, quotedName, StoreError } from '@oncemq/core/store'
import type { PostgresClient } from './client.ts'
import type { Connections } from './connection.ts'
import { sqlState } from './errors.ts'

/** The class of errors for values that a column cannot hold. */
const DATA = '22'

/** Moves rows of a table from state to state: see the contract's `StateTable`. */
export class PostgresStateTable<Tx> implements StateTable<Tx> {
  readonly #connections: () => Connections
  readonly #names: StateTableNames
  readonly #table: string
  readonly #id: string
  readonly #state: string

  constructor(connections: () => Connections, names: StateTableNames) {
    this.#connections = connections
    this.#names = names
    this.#table = quotedName('table', names.table, quoted)
    this.#id = quotedColumn(names.id, quoted)
    this.#state = quotedColumn(names.state, quoted)
  }

  async check(states: readonly string[]): Promise<readonly Finding[]> {
    const places = states.map((_, position) => `$${position + 1}`).join(', ')
    // Finds no row, and says whether table, columns and states are there: an enum refuses what it does not
    // have.
    const sql =
      `SELECT 1 FROM ${this.#table} WHERE ${this.#id} IS NULL ` + `AND ${this.#state} IN (${places}) LIMIT 0`
    try {
      await this.#connections().change(sql, [...states])
    } catch (error) {
      const state = sqlState(error)
      if (state === undefined || !/^(?:42|22|3F)/.test(state)) throw error
      throw this.#unfit(`SQLSTATE ${state}`, error)
    }
    return this.#indexFindings()
  }

  async move(
    tx: Tx,
    { id, from, to }: { readonly id: RowId; readonly from: readonly string[]; readonly to: string },
  ) {
    const places = from.map((_, position) => `$${position + 3}`).join(', ')
    const text =
      `UPDATE ${this.#table} SET ${this.#state} = $2 ` +
      `WHERE ${this.#id} = $1 AND ${this.#state} IN (${places})`
    try {
      const { rowCount } = await connectionOf<PostgresClient>(tx).query({ text, values: [id, to, ...from] })
      return (rowCount ?? 0) > 0 ? 'moved' : 'not-moved'
    } catch (error) {
      if (sqlState(error)?.startsWith(DATA) === true) return 'unfit-id'
      throw error
    }
  }

  async read(tx: Tx, id: RowId): Promise<string | undefined> {
    // Locks the row, so that what is decided by its state stays true until the commit.
    const text = `SELECT ${this.#state}::text AS state FROM ${this.#table} WHERE ${this.#id} = $1 FOR UPDATE`
    const { rows } = await connectionOf<PostgresClient>(tx).query({ text, values: [id] })
    const [row] = rows as readonly { readonly state: string | null }[]
    return row === undefined ? undefined : (row.state ?? '')
  }

  async #indexFindings(): Promise<readonly Finding[]> {
    const find = `
      SELECT '1' AS answer FROM pg_index i
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
      WHERE i.indrelid = $1::regclass AND a.attname = $2 AND i.indisvalid LIMIT 1`
    const found = await this.#connections().run(find, [this.#table, this.#names.id])
    return found.length > 0 ? [] : [noIndex(this.#names)]
  }

  #unfit(detail: string, cause: unknown): StoreError {
    const { table, id, state } = this.#names
    return new StoreError(
      'ONCEMQ_TABLE_UNFIT',
      `PostgresStore: expected a table ${printable(table)} with the columns ${id} and ${state}, ` +
        `which holds the machine's states, received another (${detail}); ` +
        `correct the names, or the column's type`,
      { cause },
    )
  }
}

function quoted(name: string): string {
  return `"${name}"`
}

function noIndex({ table, id }: StateTableNames): Finding {
  return {
    severity: 'warning',
    code: 'state-index-missing',
    found: `No index of ${table} begins with ${id}, so that each message reads the whole table.`,
    remedy: `Create it: CREATE INDEX ON ${table} (${id}).`,
  }
}
