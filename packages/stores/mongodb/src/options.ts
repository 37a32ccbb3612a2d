import type { Clock, OrmTransactions, Random } from '@oncemq/core/store'
import { OptionError } from '@oncemq/core'
import {
  givenOptions,
  received,
  requireClock,
  requireInteger,
  requireOneOf,
  requireOrm,
  requireRandom,
  systemClock,
  systemRandom,
} from '@oncemq/core/store'
import type { DriverSession, MongoCollection, MongoSession } from './client.ts'

/** Options of {@link MongoStore}: a collection of yours, or `url`, and what has a default. */
export interface MongoStoreOptions<Session extends MongoSession = DriverSession, Tx = Session> {
  /**
   * A collection of your own client, which the store neither configures nor closes. With `url`, the
   * collection's name: a letter or `_`, then letters, digits, `_`, `.` or `-`, 1 to 120 characters and not
   * `system.`.
   * @default 'oncemq'
   */
  collection?: MongoCollection<Session> | string
  /**
   * The server's address, `mongodb://` or `mongodb+srv://`: the store connects by the package `mongodb` and
   * closes what it opened.
   */
  url?: string
  /**
   * The database, with `url` alone. The one that the URL names by default, which is `test` if it names none.
   */
  database?: string
  /**
   * Whether `open()` creates the index and the note of its version where they are missing. With `false` they
   * have to be there: {@link MongoStore.schema} says what to create.
   * @default true
   */
  createSchema?: boolean
  /**
   * After how long an operation is given up: the server ends it, and its connection is closed. Milliseconds,
   * 1 to 600000. The default is below the core's `storeTimeoutMs`, so that nothing stays behind of a call
   * that the core has given up.
   * @default 4000
   */
  timeoutMs?: number
  /**
   * The transactions of what handlers write with, `mongooseTransactions` of `@oncemq/mongodb/orms` or your
   * own: `context.tx` is one of these then, on a session of the collection's client.
   * @default the session itself
   */
  transactions?: OrmTransactions<Session, Tx>
  /** Time for waits, for tests. The system's by default. Leases and retention follow the server's clock. */
  clock?: Clock
  /** Randomness, for tests. The system's by default. */
  random?: Random
}

/** The defaults of {@link MongoStoreOptions}, the one place that has them. */
export const mongoStoreDefaults = Object.freeze({
  collection: 'oncemq',
  createSchema: true,
  timeoutMs: 4000,
})

/** Where the collection comes from. */
export type Source<Session extends MongoSession> =
  | { readonly collection: MongoCollection<Session> }
  | { readonly url: string; readonly database: string | undefined; readonly name: string }

/** Options as the store uses them: complete, checked and frozen. */
export interface Settings<Session extends MongoSession = MongoSession, Tx = unknown> {
  readonly source: Source<Session>
  readonly createSchema: boolean
  readonly timeoutMs: number
  readonly transactions: OrmTransactions<Session, Tx> | undefined
  readonly clock: Clock
  readonly random: Random
}

const TIMEOUT_MAX_MS = 600_000
const URL_SCHEME = /^mongodb(\+srv)?:\/\//
// MongoDB keeps names that begin with system. for itself.
const COLLECTION_NAME = /^(?!system\.)[a-z_][a-z0-9_.-]{0,119}$/i
const DATABASE_NAME = /^[a-z0-9_-]{1,63}$/i

const known = new Set([
  ...Object.keys(mongoStoreDefaults),
  'url',
  'database',
  'transactions',
  'clock',
  'random',
])

/**
 * Checks the options once. @throws OptionError that says what was expected, what was received, and the
 * remedy.
 */
export function settingsOf<Session extends MongoSession, Tx>(
  options: MongoStoreOptions<Session, Tx>,
): Settings<Session, Tx> {
  const given = givenOptions('MongoStore', options, known)
  const { createSchema, timeoutMs } = { ...mongoStoreDefaults, ...given }
  const source = sourceOf(given)
  requireOneOf('createSchema', createSchema, [true, false])
  requireInteger('timeoutMs', timeoutMs, 1, TIMEOUT_MAX_MS)
  const { clock = systemClock, random = systemRandom(), transactions } = given
  requireClock(clock)
  requireRandom(random)
  if (transactions !== undefined) requireOrm('transactions', 'those of Mongoose', transactions, ['within'])
  return Object.freeze({ source, createSchema, timeoutMs, transactions, clock, random })
}

function sourceOf<Session extends MongoSession>(
  given: Pick<MongoStoreOptions<Session>, 'url' | 'database' | 'collection'>,
): Source<Session> {
  const { url, database, collection = mongoStoreDefaults.collection } = given
  const injects = typeof collection !== 'string'
  if ((url !== undefined) === injects) {
    throw new OptionError(
      `MongoStore: expected either url or a collection of your own client, received ` +
        `${injects ? 'both' : 'neither'}; ` +
        `give { collection: client.db().collection('oncemq') }, or { url: 'mongodb://...' }`,
    )
  }
  if (url !== undefined && !injects) {
    requireUrl(url)
    requireName('database', DATABASE_NAME, database ?? 'test', 'at most 63 letters, digits, _ or -')
    requireName(
      'collection',
      COLLECTION_NAME,
      collection,
      'a letter or _, then letters, digits, _, . or -, at most 120 in all and not system.',
    )
    return { url, database, name: collection }
  }
  if (database !== undefined) {
    throw new OptionError(
      `database: expected none together with a collection of your own client, received one; ` +
        `take the collection from the database that you mean`,
    )
  }
  return { collection: requireCollection<Session>(collection) }
}

function requireUrl(url: unknown): void {
  if (typeof url === 'string' && URL_SCHEME.test(url)) return
  const what = typeof url === 'string' ? 'another string' : received(url)
  throw new OptionError(
    `url: expected a string that begins with mongodb:// or mongodb+srv://, received ${what}; ` +
      `give one such as 'mongodb://127.0.0.1:27017/shop?replicaSet=rs0'`,
  )
}

function requireName(option: string, pattern: RegExp, name: unknown, expected: string): void {
  if (typeof name === 'string' && pattern.test(name)) return
  const what = typeof name === 'string' ? 'another string' : received(name)
  throw new OptionError(
    `${option}: expected ${expected}, received ${what}; ` +
      `take a plain name such as '${mongoStoreDefaults.collection}'`,
  )
}

function requireCollection<Session extends MongoSession>(collection: unknown): MongoCollection<Session> {
  const given = collection as MongoCollection<Session> | null | undefined
  const fits =
    typeof given === 'object' &&
    typeof given?.collectionName === 'string' &&
    typeof given.find === 'function' &&
    typeof given.db?.command === 'function' &&
    typeof given.db.client?.startSession === 'function'
  if (fits) return given as MongoCollection<Session>
  throw new OptionError(
    `collection: expected a Collection of mongodb 6.20 or later, received ${received(collection)}; ` +
      `give client.db().collection('oncemq'), or { url } and the store connects itself`,
  )
}
