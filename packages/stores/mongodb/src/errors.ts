import { types } from 'node:util'
import { causes, isOncemqError, storeError } from '@oncemq/core/store'
import type { Explanation, StoreError } from '@oncemq/core/store'

export const STORE = 'MongoStore'

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
  readonly codeName?: unknown
}

/**
 * What the store throws for `error`. `where` names the collection. The driver's message is left to the cause:
 * the server's messages repeat ids, and even whole commands.
 */
export function asStoreError(error: unknown, where: string): StoreError {
  if (isOncemqError(error)) return error as StoreError
  const { name, code, codeName } = asDriverError(error)
  const detail = [name, code, codeName].filter((part) => ['string', 'number'].includes(typeof part)).join(' ')
  const parts = { store: STORE, expected: `to use ${where}`, detail, cause: error }
  return storeError(parts, explanationOf(error) ?? UNKNOWN)
}

function explanationOf(error: unknown): Explanation | undefined {
  const { name, code } = asDriverError(error)
  return (
    (typeof code === 'number' ? byCode[code] : undefined) ??
    (typeof name === 'string' ? byName[name] : undefined)
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

const held = new WeakSet<object>()

/** Records are held by open transactions, perhaps of a process that has ended. */
export function heldError(cause: unknown, where: string): StoreError {
  const error = storeError({ store: STORE, expected: `to change records of ${where}`, cause }, [
    'ONCEMQ_STORE_TIMEOUT',
    'transactions hold them',
    'the operation is tried again',
  ])
  held.add(error)
  return error
}

export function isHeld(error: unknown): boolean {
  return typeof error === 'object' && error !== null && held.has(error)
}

/**
 * The driver's error behind `error` by which it or the server ended a transaction, so that the whole is to be
 * run again. A handler may have wrapped it. What a handler makes itself, of a payload perhaps, has labels at
 * best, and not the driver's method that tells them.
 */
export function transientErrorIn(error: unknown): Error | undefined {
  return labelled(error, TRANSIENT)
}

/** What a {@link transientErrorIn} becomes: a conflict, unless the server was lost. */
export function transientError(cause: Error, where: string): StoreError {
  const isLost = explanationOf(cause)?.[0] === 'ONCEMQ_STORE_UNAVAILABLE'
  return isLost ? asStoreError(cause, where) : conflictError(cause, where)
}

/** What a transaction becomes that another write was in the way of. */
export function conflictError(cause: unknown, where: string): StoreError {
  return storeError({ store: STORE, expected: `the transaction on ${where} to go through`, cause }, [
    'ONCEMQ_TRANSACTION_CONFLICT',
    'received a conflict with another write',
    'it is run again. If that happens to every run, look for who else writes the same documents, and for ' +
      'errors that the handler catches, such as duplicate keys: the server ends the transaction at each',
  ])
}

/** What a failed commit of a handler's transaction becomes. */
export function commitError(error: unknown, where: string): StoreError {
  if (isUnknownCommit(error)) {
    const parts = { store: STORE, expected: `the transaction on ${where} to be committed`, cause: error }
    return storeError(parts, [
      'ONCEMQ_COMMIT_UNKNOWN',
      'received no answer',
      'when it is run again, the record tells what became of it',
    ])
  }
  const transient = transientErrorIn(error)
  return transient === undefined ? asStoreError(error, where) : transientError(transient, where)
}

/** What a handler's transaction becomes that is not open any more when the handler has ended. */
export function endedError(cause?: unknown): StoreError {
  const parts = { store: STORE, expected: 'the transaction to be open when the handler ends', cause }
  return storeError(parts, [
    'ONCEMQ_TRANSACTION_ENDED',
    'received it ended',
    'leave commitTransaction and abortTransaction to the store. What the handler has committed by itself ' +
      'stays, and the message is not recorded as done',
  ])
}

/** A handler has ended, and what it began and did not await has not. */
export function unansweredError(timeoutMs: number): StoreError {
  const expected = `what a handler did not await to end within ${timeoutMs} ms of it`
  return storeError({ store: STORE, expected }, [
    'ONCEMQ_HANDLER_TIMEOUT',
    'received no answer, so that all is rolled back',
    'await what the handler begins, or raise timeoutMs',
  ])
}

/** What a late use of a handler's transaction becomes. */
export function lateError(): StoreError {
  return storeError({ store: STORE, expected: 'no use of tx after the end of its handler' }, [
    'ONCEMQ_TRANSACTION_ENDED',
    'received one, which did nothing',
    'await all that the handler begins, also when a part of it fails (Promise.allSettled)',
  ])
}

/** What a call becomes that met a document which is no record. */
export function foreignError(where: string): StoreError {
  return storeError({ store: STORE, expected: `records of this version in ${where}` }, [
    'ONCEMQ_STORE_REFUSED',
    'received another document',
    'give the store a collection of its own, or use the version of @oncemq/mongodb that wrote it',
  ])
}

/** Whether there is no collection of the name, as the server said it or the store. */
export function isNamespaceMissing(error: unknown): boolean {
  const { code, cause } = error as { readonly code?: unknown; readonly cause?: { readonly code?: unknown } }
  return [code, cause?.code].includes(SERVER.NamespaceNotFound)
}

/** Whether a commit may have happened, so that it is to be asked again. */
export function isUnknownCommit(error: unknown): boolean {
  return labelled(error, UNKNOWN_COMMIT) !== undefined
}

function labelled(error: unknown, label: string): Error | undefined {
  for (const each of causes(error)) {
    if (!types.isNativeError(each) || !('hasErrorLabel' in each)) continue
    const { hasErrorLabel } = each
    if (typeof hasErrorLabel === 'function' && hasErrorLabel.call(each, label) === true) return each
  }
  return undefined
}

function asDriverError(error: unknown): DriverError {
  return typeof error === 'object' && error !== null ? error : {}
}
