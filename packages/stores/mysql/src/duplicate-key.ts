import type { Finding, UniqueKey } from '@oncemq/core/store'
import {
  connectionOf,
  driverErrorOn,
  gapFindings,
  printable,
  StoreError,
  violatedKeyIn,
} from '@oncemq/core/store'
import type { Connections } from './connection.ts'
import { errorNumber } from './errors.ts'
import { text } from './literals.ts'

const DUPLICATE_ENTRY = 1062

// The last words of the message: what stands before is the value, which a sender may have chosen.
const KEY = /for key '([^']+)'$/
const COMMENT = String.raw`(?:(?:/\*[^]*?\*/|--[^\n]*\n|#[^\n]*\n)\s*)*`
const NAME = String.raw`(?:\`[^\`]+\`|[\w$]+)`
const MODIFIERS = String.raw`(?:(?:low_priority|high_priority|delayed|ignore)\s+)*`
const TABLE = String.raw`(?:(${NAME})\s*\.\s*)?(${NAME})`
/** A statement that writes to one table. An UPDATE of several is none. */
const TARGET = new RegExp(
  String.raw`^\s*${COMMENT}(?:(?:insert|replace)\s+${MODIFIERS}(?:into\s+)?${TABLE}|` +
    String.raw`update\s+${MODIFIERS}${TABLE}(?:\s+(?:as\s+)?${NAME})?\s+set\s)`,
  'i',
)

interface ServerError {
  readonly sqlMessage?: unknown
  readonly sql?: unknown
}

interface Target {
  /** If the statement names it. */
  readonly database: string | undefined
  readonly table: string
}

const noted = new WeakMap<object, readonly string[]>()

/**
 * The unique index that an error of `mysql2` says was violated, with its table: `orders.PRIMARY`; and with
 * its database, `shop.orders.PRIMARY`, if the statement names that. `undefined` for any other error. MySQL
 * names the table since 8.0.19; MariaDB does not, so that there the statement of the error tells it, which
 * for an insert by a trigger is another table than that of the index: give such an index a name that no other
 * table has. For `naturalKey` with a client of your own.
 * @example naturalKey({ constraint: 'orders.PRIMARY', duplicateKeyOf })
 */
export function duplicateKeyOf(error: unknown): readonly string[] | undefined {
  if (!(error instanceof Error) || errorNumber(error) !== DUPLICATE_ENTRY) return undefined
  const known = noted.get(error)
  if (known !== undefined) return known
  const { sqlMessage, sql } = error as ServerError
  const key = KEY.exec(typeof sqlMessage === 'string' ? sqlMessage : error.message)?.[1]
  if (key === undefined) return undefined
  const target = typeof sql === 'string' ? targetOf(sql) : undefined
  const hasTable = key.includes('.')
  if (target === undefined) return hasTable ? [key] : []
  const { database, table } = target
  // That of a trigger is another one, of which the statement says nothing.
  if (hasTable && !key.startsWith(`${table}.`)) return [key]
  const name = hasTable ? key : `${table}.${key}`
  return database === undefined ? [name] : [name, `${database}.${name}`]
}

function targetOf(sql: string): Target | undefined {
  const found = TARGET.exec(sql)
  if (found === null || isOfMany(sql)) return undefined
  const [, database = found[3], table = found[4] ?? ''] = found
  return { database: database?.replaceAll('`', ''), table: table.replaceAll('`', '') }
}

const PARTS = /[;'"`\\]/g

/** Whether it is several statements, of which any may have failed: there is a semicolon, and more. */
function isOfMany(sql: string): boolean {
  let quote = ''
  PARTS.lastIndex = 0
  for (let part = PARTS.exec(sql); part !== null; part = PARTS.exec(sql)) {
    const [mark] = part
    if (mark === '\\') PARTS.lastIndex += 1
    else if (mark === quote) quote = ''
    else if (quote === '' && mark !== ';') quote = mark
    else if (quote === '' && sql.slice(PARTS.lastIndex).trim() !== '') return true
  }
  return false
}

/** Notes what an error says before its statement is taken away, which may hold values. */
export function noteDuplicateKey(error: unknown): void {
  const names = duplicateKeyOf(error)
  if (names !== undefined) noted.set(error as object, names)
}

/** A unique index, by its table and name: see the contract's `UniqueKey`. */
export class MysqlUniqueKey<Tx> implements UniqueKey<Tx> {
  readonly #connections: () => Connections
  readonly #name: string
  /** What it is called by statements that name no database, and by those that do. */
  #reported: { readonly plain: string | undefined; readonly full: string } | undefined

  constructor(connections: () => Connections, name: string) {
    this.#connections = connections
    this.#name = name
  }

  async check(): Promise<readonly Finding[]> {
    const [database, ...rest] = this.#name.split('.')
    const own = await this.#find('DATABASE()', this.#name)
    const columns = own.length > 0 ? own : await this.#find(text(database ?? ''), rest.join('.'))
    const [first] = columns
    if (first === undefined) throw this.#unfit()
    const plain = own.length > 0 ? this.#name : undefined
    this.#reported = { plain, full: `${first.database}.${plain ?? rest.join('.')}` }
    const isNullable = columns.some((column) => column.isNullable)
    const isLoose = columns.some((column) => column.isLoose)
    return [
      ...gapFindings(this.#name, { isNullable, isPartial: false }),
      ...(isLoose ? [loose(this.#name)] : []),
    ]
  }

  isViolatedBy(thrown: unknown, tx: Tx | undefined): boolean {
    const made = tx === undefined ? thrown : driverErrorOn(connectionOf(tx), thrown)
    const [name, full] = violatedKeyIn(made, duplicateKeyOf)
    if (name === undefined) return false
    return full === undefined ? name === this.#reported?.plain : full === this.#reported?.full
  }

  async #find(database: string, name: string): Promise<readonly Column[]> {
    const sql =
      'SELECT s.table_schema, s.table_name, s.index_name, s.nullable, s.sub_part, c.collation_name ' +
      'FROM information_schema.statistics s LEFT JOIN information_schema.columns c ' +
      'ON c.table_schema = s.table_schema AND c.table_name = s.table_name ' +
      'AND c.column_name = s.column_name ' +
      `WHERE s.table_schema = ${database} AND s.non_unique = 0 ` +
      `AND CONCAT(s.table_name, '.', s.index_name) = ${text(name)}`
    const rows = await this.#connections().read(sql, { ofManyRows: true })
    // The server compares names without regard to case here, and reports them as they are.
    const exact = rows.filter(([, table, index]) => `${String(table)}.${String(index)}` === name)
    return exact.map(([schema, , , nullable, prefix, collation]) => ({
      database: String(schema),
      isNullable: String(nullable) === 'YES',
      isLoose: isText(prefix) || (isText(collation) && !String(collation).endsWith('_bin')),
    }))
  }

  #unfit(): StoreError {
    return new StoreError(
      'ONCEMQ_TABLE_UNFIT',
      `MysqlStore: expected one unique index '${printable(this.#name)}', received 0; ` +
        "name it with its table, such as 'orders.PRIMARY', or create it (SHOW INDEX FROM the table shows it)",
    )
  }
}

/** Not NULL. */
function isText(answer: unknown): boolean {
  return answer !== null && answer !== undefined
}

interface Column {
  readonly database: string
  readonly isNullable: boolean
  /** Values that differ may be one to it. */
  readonly isLoose: boolean
}

function loose(name: string): Finding {
  return {
    severity: 'warning',
    code: 'unique-key-loose',
    found:
      `The unique key ${printable(name)} compares by a collation or a prefix, so that texts that differ, ` +
      'as in case, are one to it: an event with another text is taken for a duplicate and acked.',
    remedy: 'Give its columns a collation such as utf8mb4_bin, and index them whole.',
  }
}
