import { StoreError } from '@oncemq/core/store'
import { isOncemqError } from '@oncemq/core'
import type { ErrorCode } from '@oncemq/core'

/**
 * MongoDB's error codes that the store tells apart:
 * https://www.mongodb.com/docs/manual/reference/error-codes/
 */
export const SERVER = Object.freeze({
  Unauthorized: 13,
  AuthenticationFailed: 18,
  NamespaceNotFound: 26,
  MaxTimeMsExpired: 50,
  WriteConcernTimeout: 64,
  CannotCreateIndex: 67,
  IndexOptionsConflict: 85,
  IndexKeySpecsConflict: 86,
  ShutdownInProgress: 91,
  CannotSatisfyWriteConcern: 100,
  DocumentValidationFailure: 121,
  NamespaceIsView: 166,
  PrimarySteppedDown: 189,
  NotWritablePrimary: 10107,
  ObjectTooLarge: 10334,
  DuplicateKey: 11000,
  InterruptedAtShutdown: 11600,
  InterruptedByStateChange: 11602,
  NotPrimaryNoSecondaryOk: 13435,
  NotPrimaryOrSecondary: 13436,
  OutOfDiskSpace: 14031,
})

/** One entry's failure within a command that the server took. The driver leaves it in the answer. */
export class WriteFailure extends Error {
  readonly code: number

  constructor(failure: { readonly code: number }) {
    super('the server refused a write', { cause: failure })
    this.code = failure.code
  }

  static {
    this.prototype.name = 'WriteFailure'
  }
}

/** By these labels the driver and the server say what may be repeated. */
const TRANSIENT = 'TransientTransactionError'
const UNKNOWN_COMMIT = 'UnknownTransactionCommitResult'

const CAUSES_MAX = 8

type Explanation = readonly [code: ErrorCode, received: string, remedy: string]

const UNKNOWN: Explanation = [
  'ONCEMQ_STORE_UNAVAILABLE',
  'the driver failed',
  'the cause says more; the operation is tried again',
]
const ELECTION: Explanation = [
  'ONCEMQ_STORE_UNAVAILABLE',
  'this member is no primary, or is going down',
  'name all members in the URL; the operation is tried again once a primary is elected',
]
const TOO_LATE: Explanation = [
  'ONCEMQ_STORE_TIMEOUT',
  'its time was over',
  "look at the server's load and at writes of yours that hold the same records, or raise timeoutMs",
]
const NO_MAJORITY: Explanation = [
  'ONCEMQ_STORE_UNAVAILABLE',
  'no majority of the members has confirmed the write',
  'look for members that are down or lag behind; the operation is tried again',
]
const OTHER_INDEX: Explanation = [
  'ONCEMQ_STORE_CORRUPT',
  'it has another index on expiresAt',
  'drop that index, or choose another collection',
]

const byCode: Readonly<Record<number, Explanation>> = {
  [SERVER.Unauthorized]: [
    'ONCEMQ_STORE_REFUSED',
    'this user may not do that',
    'grant it find, insert, update and remove on the collection, and for the first open() listIndexes ' +
      'and createIndex',
  ],
  [SERVER.AuthenticationFailed]: [
    'ONCEMQ_STORE_REFUSED',
    'the server does not accept the credentials',
    'correct the user, the password or authSource',
  ],
  [SERVER.NamespaceNotFound]: [
    'ONCEMQ_STORE_CORRUPT',
    'there is no such collection',
    'run what schema() answers, or leave createSchema out',
  ],
  [SERVER.CannotCreateIndex]: [
    'ONCEMQ_STORE_REFUSED',
    'it takes no TTL index',
    'give the store an ordinary collection of its own, not a capped one',
  ],
  [SERVER.IndexOptionsConflict]: OTHER_INDEX,
  [SERVER.IndexKeySpecsConflict]: OTHER_INDEX,
  [SERVER.DocumentValidationFailure]: [
    'ONCEMQ_STORE_REFUSED',
    "the collection's validator refuses the record",
    'give the store a collection of its own',
  ],
  [SERVER.NamespaceIsView]: [
    'ONCEMQ_STORE_REFUSED',
    'it is a view',
    'give the store a collection of its own',
  ],
  [SERVER.ObjectTooLarge]: [
    'ONCEMQ_STORE_REFUSED',
    'the record is larger than the server takes',
    'keep results small',
  ],
  [SERVER.OutOfDiskSpace]: ['ONCEMQ_STORE_FULL', 'no space is left', "make room on the server's disk"],
  [SERVER.MaxTimeMsExpired]: TOO_LATE,
  [SERVER.WriteConcernTimeout]: NO_MAJORITY,
  [SERVER.CannotSatisfyWriteConcern]: NO_MAJORITY,
  [SERVER.ShutdownInProgress]: ELECTION,
  [SERVER.PrimarySteppedDown]: ELECTION,
  [SERVER.NotWritablePrimary]: ELECTION,
  [SERVER.InterruptedAtShutdown]: ELECTION,
  [SERVER.InterruptedByStateChange]: ELECTION,
  [SERVER.NotPrimaryNoSecondaryOk]: ELECTION,
  [SERVER.NotPrimaryOrSecondary]: ELECTION,
}

const UNREACHABLE: Explanation = [
  'ONCEMQ_STORE_UNAVAILABLE',
  'the server cannot be reached',
  'look at the URL, the network and the server; the operation is tried again',
]
const WRONG_USE: Explanation = [
  'ONCEMQ_STORE_REFUSED',
  "the driver refuses the client's options",
  'correct them; the cause says which',
]

const byName: Readonly<Record<string, Explanation>> = {
  MongoNetworkError: UNREACHABLE,
  MongoNetworkTimeoutError: UNREACHABLE,
  MongoServerSelectionError: UNREACHABLE,
  MongoPoolClearedError: UNREACHABLE,
  PoolClearedOnNetworkError: UNREACHABLE,
  MongoWaitQueueTimeoutError: [
    'ONCEMQ_STORE_UNAVAILABLE',
    'all connections of the pool are in use',
    'raise maxPoolSize of the client, or give the store a client of its own',
  ],
  MongoParseError: WRONG_USE,
  MongoInvalidArgumentError: WRONG_USE,
  MongoMissingCredentialsError: WRONG_USE,
}

interface DriverError {
  readonly name?: unknown
  readonly code?: unknown
  readonly cause?: unknown
  readonly errorLabels?: unknown
  readonly codeName?: unknown
}

/**
 * What the store throws for `error`. `where` names the collection. The driver's message is left to the cause:
 * the server's messages repeat ids, and even whole commands.
 */
export function storeError(error: unknown, where: string): StoreError {
  if (isOncemqError(error)) return error as StoreError
  const { name, code, codeName } = asDriverError(error)
  const explanation =
    (typeof code === 'number' ? byCode[code] : undefined) ??
    (typeof name === 'string' ? byName[name] : undefined) ??
    UNKNOWN
  const [oncemqCode, what, remedy] = explanation
  const detail = [name, code, codeName].filter((part) => ['string', 'number'].includes(typeof part)).join(' ')
  return new StoreError(
    oncemqCode,
    `MongoStore: expected to use ${where}, but ${what} (${detail}); ${remedy}`,
    { cause: error },
  )
}

/** Whether a record was there already that the command was to create. */
export function isDuplicateKey(error: unknown): boolean {
  return asDriverError(error).code === SERVER.DuplicateKey
}

/**
 * Whether the server has given up the command itself, as it was told to by `maxTimeMS`; not the waiting for a
 * majority that follows the writes.
 */
export function isOutOfTime(error: unknown): boolean {
  const { name, code } = asDriverError(error)
  return code === SERVER.MaxTimeMsExpired && name !== 'MongoWriteConcernError'
}

/**
 * Whether the database asks for the whole transaction to be run again. A handler may have wrapped the
 * driver's error in one of its own.
 */
export function isConflict(error: unknown): boolean {
  return hasLabel(error, TRANSIENT)
}

/** What an error of a transaction becomes that is to be run again. */
export function conflictError(error: unknown, where: string): StoreError {
  return new StoreError(
    'ONCEMQ_TRANSACTION_CONFLICT',
    `MongoStore: expected the transaction on ${where} to go through, received a conflict with another ` +
      `write; it is run again. If that happens to every run, look for who else writes the same documents`,
    { cause: isOncemqError(error) ? error.cause : error },
  )
}

/** What a failed commit of a handler's transaction becomes. */
export function commitError(error: unknown, where: string): StoreError {
  if (hasLabel(error, UNKNOWN_COMMIT)) {
    return new StoreError(
      'ONCEMQ_COMMIT_UNKNOWN',
      `MongoStore: expected the transaction on ${where} to be committed, received no answer; ` +
        `when it is run again, the record tells what became of it`,
      { cause: error },
    )
  }
  return isConflict(error) ? conflictError(error, where) : storeError(error, where)
}

/** Whether a commit may have happened, so that it is to be asked again. */
export function isUnknownCommit(error: unknown): boolean {
  return hasLabel(error, UNKNOWN_COMMIT)
}

function hasLabel(error: unknown, label: string): boolean {
  let current: unknown = error
  for (let depth = 0; depth < CAUSES_MAX && current !== undefined; depth += 1) {
    const { errorLabels, cause } = asDriverError(current)
    if (Array.isArray(errorLabels) && errorLabels.includes(label)) return true
    current = cause
  }
  return false
}

function asDriverError(error: unknown): DriverError {
  return typeof error === 'object' && error !== null ? error : {}
}
