import type { Finding, RowId, StateTable, StateTableNames } from '@oncemq/core/store'
import { connectionOf, printable, quotedColumn, quotedName, StoreError } from '@oncemq/core/store'
import type { MysqlConnection, MysqlHeader, MysqlQuery, MysqlRow } from './client.ts'
import type { Connections } from './connection.ts'
import { text } from './literals.ts'

const NUMERIC = new Set(['tinyint', 'smallint', 'mediumint', 'int', 'bigint'])
const TEXTS = /(?:char|text)$/
const INTEGER = /^-?(?:0|[1-9]\d*)$/
const ENUM_VALUE = /'((?:[^']|'')*)'/g

interface Column {
  readonly name: string
  readonly dataType: string
  readonly columnType: string
  readonly isIndexed: boolean
}

/** Moves rows of a table from state to state: see the contract's `StateTable`. */
export class MysqlStateTable<Tx> implements StateTable<Tx> {
  readonly #connections: () => Connections
  readonly #names: StateTableNames
  readonly #table: string
  readonly #id: string
  readonly #state: string
  #isNumeric = false
  #isText = false

  constructor(connections: () => Connections, names: StateTableNames) {
    this.#connections = connections
    this.#names = names
    this.#table = quotedName('table', names.table, quoted)
    this.#id = quotedColumn(names.id, quoted)
    this.#state = quotedColumn(names.state, quoted)
  }

  async check(states: readonly string[]): Promise<readonly Finding[]> {
    const columns = await this.#columns()
    const id = columns.find(({ name }) => name.toLowerCase() === this.#names.id.toLowerCase())
    const state = columns.find(({ name }) => name.toLowerCase() === this.#names.state.toLowerCase())
    if (id === undefined || state === undefined)
      throw this.#unfit(`${columns.length === 0 ? 'none' : 'another'}`)
    if (state.dataType === 'enum') {
      const values = [...state.columnType.matchAll(ENUM_VALUE)].map(([, value]) =>
        value?.replaceAll("''", "'"),
      )
      const missing = states.find((each) => !values.includes(each))
      if (missing !== undefined) throw this.#unfit(`an enum without '${printable(missing)}'`)
    }
    this.#isNumeric = NUMERIC.has(id.dataType)
    this.#isText = TEXTS.test(id.dataType)
    return id.isIndexed ? [] : [noIndex(this.#names)]
  }

  async move(
    tx: Tx,
    { id, from, to }: { readonly id: RowId; readonly from: readonly string[]; readonly to: string },
  ) {
    const literal = this.#literal(id)
    if (literal === undefined) return 'unfit-id'
    const states = from.map((state) => bytesOf(text(state))).join(', ')
    const answer = await query(
      tx,
      `UPDATE ${this.#table} SET ${this.#state} = ${text(to)} ` +
        `WHERE ${this.#is(literal)} AND ${bytesOf(this.#state)} IN (${states})`,
    )
    if (Number((answer as MysqlHeader).affectedRows) > 0) return 'moved'
    // Without the flag for found rows a row that has the state already counts as not affected.
    const stays = from.includes(to) && (await this.read(tx, id)) === to
    return stays ? 'moved' : 'not-moved'
  }

  async read(tx: Tx, id: RowId): Promise<string | undefined> {
    const literal = this.#literal(id)
    if (literal === undefined) return undefined
    // A locking read: a plain one would repeat what the transaction's snapshot holds, which the update
    // looked past.
    const sql = `SELECT ${this.#state} FROM ${this.#table} WHERE ${this.#is(literal)} FOR UPDATE`
    const [row] = (await query(tx, sql)) as readonly MysqlRow[]
    return row === undefined ? undefined : (row[0]?.toString('utf8') ?? '')
  }

  /**
   * By the index, and then byte by byte: the collations that tables have by default take texts for one that
   * differ in case, accents or spaces at their end, and the row of another id must not be moved.
   */
  #is(literal: string): string {
    const equal = `${this.#id} = ${literal}`
    return this.#isText ? `${equal} AND ${bytesOf(this.#id)} = ${bytesOf(literal)}` : equal
  }

  /** A text that is compared with a number is cut to what looks like one: '12 apples' would be row 12. */
  #literal(id: RowId): string | undefined {
    if (typeof id === 'object') return undefined
    if (this.#isNumeric) return INTEGER.test(String(id)) ? String(id) : undefined
    return text(String(id))
  }

  async #columns(): Promise<readonly Column[]> {
    const [schema, table] = this.#names.table.includes('.')
      ? this.#names.table.split('.').map(text)
      : ['DATABASE()', text(this.#names.table)]
    const rows = await this.#connections().read(
      'SELECT c.column_name, c.data_type, c.column_type, ' +
        'EXISTS (SELECT 1 FROM information_schema.statistics s ' +
        'WHERE s.table_schema = c.table_schema AND s.table_name = c.table_name ' +
        'AND s.column_name = c.column_name AND s.seq_in_index = 1) ' +
        `FROM information_schema.columns c WHERE c.table_schema = ${schema} AND c.table_name = ${table}`,
      { ofManyRows: true },
    )
    return rows.map(([name, dataType, columnType, isIndexed]) => ({
      name: String(name),
      dataType: String(dataType).toLowerCase(),
      columnType: String(columnType),
      isIndexed: Number(isIndexed) === 1,
    }))
  }

  #unfit(what: string): StoreError {
    const { table, id, state } = this.#names
    return new StoreError(
      'ONCEMQ_TABLE_UNFIT',
      `MysqlStore: expected a table ${printable(table)} with the columns ${id} and ${state}, ` +
        `which holds the machine's states, received ${what}; correct the names, or the column's type`,
    )
  }
}

async function query(tx: unknown, sql: string): Promise<unknown> {
  const asked: MysqlQuery = { sql, values: null, rowsAsArray: true, typeCast: false, nestTables: false }
  return (await connectionOf<MysqlConnection>(tx).query(asked))[0]
}

/** Whatever the character set of the column. */
function bytesOf(operand: string): string {
  return `CAST(CONVERT(${operand} USING utf8mb4) AS BINARY)`
}

function quoted(name: string): string {
  return `\`${name}\``
}

function noIndex({ table, id }: StateTableNames): Finding {
  return {
    severity: 'warning',
    code: 'state-index-missing',
    found: `No index of ${table} begins with ${id}, so that each message reads and locks the whole table.`,
    remedy: `Create it: CREATE INDEX ${id}_index ON ${table} (${id}).`,
  }
}
