import { OptionError, received } from '../errors.ts'
import { givenOptions, requireFunction } from '../validate.ts'
import type { DuplicateKeyOf } from './duplicate-key.ts'

/** Options of `naturalKey`. */
export interface NaturalKeyOptions {
  /**
   * The unique key that a second handling of the same event violates, named as the database names it:
   * `orders_pkey` on PostgreSQL, `orders.PRIMARY` (table and index) on MySQL and MariaDB, `orders.id` (table
   * and columns, as in `orders.shop, orders.number`) on SQLite, `orders._id_` (collection and index) on
   * MongoDB.
   *
   * Of several keys that one row violates the database reports the one that it checks first. Where a second
   * handling violates more than one, name each of them.
   */
  constraint: string | readonly string[]
}

/** Options of `naturalKey` for handlers that write with a client of their own. */
export interface OwnClientOptions extends NaturalKeyOptions {
  /**
   * How to read the duplicate-key errors of the database that the handler writes to: `duplicateKeyOf` of
   * `@oncemq/postgres`, `mysql`, `sqlite` or `mongodb`. Given, the handler runs outside of any transaction of
   * the store, `context.tx` is undefined, and the constraint is not looked for at start.
   */
  duplicateKeyOf: DuplicateKeyOf
}

const known = new Set(['constraint', 'duplicateKeyOf'])
const CONSTRAINT_MAX = 300

interface Checked {
  readonly names: readonly string[]
  readonly duplicateKeyOf: DuplicateKeyOf | undefined
}

/** The options, checked and frozen. @throws OptionError for one that is wrong. */
export function checked(options: NaturalKeyOptions | OwnClientOptions): Checked {
  const { constraint, duplicateKeyOf } = givenOptions<Partial<OwnClientOptions>>('naturalKey', options, known)
  const names: readonly unknown[] = Array.isArray(constraint) ? constraint : [constraint]
  if (names.length === 0) throw refusal('an empty array')
  for (const name of names) {
    if (typeof name !== 'string') throw refusal(received(name))
    if (name === '' || name.length > CONSTRAINT_MAX) throw refusal(`one of ${name.length} characters`)
  }
  const given = duplicateKeyOf !== undefined
  if (given)
    requireFunction('duplicateKeyOf', duplicateKeyOf, 'the one that the package of your database exports')
  return { names: Object.freeze([...(names as readonly string[])]), duplicateKeyOf }
}

function refusal(what: string): OptionError {
  return new OptionError(
    `constraint: expected a string of 1 to ${CONSTRAINT_MAX} characters, or several, received ${what}; ` +
      `name the unique key as the database does, such as 'orders_pkey'`,
  )
}
