import { OncemqError, OptionError, received } from '../errors.ts'
import { printable } from './store-error.ts'

/** A row of a table of the user's, for the helpers `insertOnce` and `upsert` of the stores. */
export interface RowWrite {
  /** The table, with or without its schema; on MongoDB it is left out. */
  readonly table: string
  /** What is unique about the row: the columns of a unique key, and their values. */
  readonly key: Readonly<Record<string, unknown>>
  /** Its other columns. */
  readonly values?: Readonly<Record<string, unknown>>
}

/** What became of a row: it is there now in either case. */
export type RowAnswer = 'inserted' | 'was-there'

/** A {@link RowWrite} as statements need it: the columns of the key stand first. */
export interface Row {
  readonly table: string
  readonly keys: readonly string[]
  readonly others: readonly string[]
  readonly keyValues: readonly unknown[]
  readonly otherValues: readonly unknown[]
}

const NAME = /^[A-Za-z_][A-Za-z0-9_$]{0,62}$/

/**
 * Checks the names, which no statement takes as parameters, and answers them quoted.
 * @throws OptionError for a name that is no plain one; OncemqError `ONCEMQ_KEY_INVALID` for a key without
 *   columns, or with a value that is null or undefined, of which a unique index takes any number.
 */
export function rowOf({ table, key, values = {} }: RowWrite, quoted: (name: string) => string): Row {
  const [keys, others] = [Object.keys(key), Object.keys(values)]
  const missing = keys.find((name) => key[name] === null || key[name] === undefined)
  if (keys.length === 0 || missing !== undefined) {
    const what = missing === undefined ? 'none' : `'${printable(missing)}' without`
    throw new OncemqError(
      'ONCEMQ_KEY_INVALID',
      `key: expected columns with values, received ${what}; ` + `give each column of the unique key`,
    )
  }
  return {
    table: quotedName('table', table, quoted),
    keys: keys.map((name) => quotedColumn(name, quoted)),
    others: others.map((name) => quotedColumn(name, quoted)),
    keyValues: Object.values(key),
    otherValues: Object.values(values),
  }
}

/**
 * A table's name, quoted part by part: with or without its schema.
 * @throws OptionError unless each part is a letter or `_`, then letters, digits, `_` or `$`, 63 at most.
 */
export function quotedName(option: string, name: unknown, quoted: (name: string) => string): string {
  const parts = typeof name === 'string' ? name.split('.') : []
  if (parts.length < 1 || parts.length > 2 || !parts.every((part) => NAME.test(part)))
    throw refused(option, name)
  return parts.map(quoted).join('.')
}

/** A column's name, quoted. @throws OptionError as {@link quotedName}. */
export function quotedColumn(name: string, quoted: (name: string) => string): string {
  if (!NAME.test(name)) throw refused('column', name)
  return quoted(name)
}

function refused(option: string, name: unknown): OptionError {
  const what = typeof name === 'string' ? 'another string' : received(name)
  return new OptionError(
    `${option}: expected a plain name (a letter or _, then letters, digits, _ or $, at most 63), ` +
      `received ${what}; never make a name of what a message says`,
  )
}
