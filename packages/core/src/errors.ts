import { types } from 'node:util'

/**
 * Every error that oncemq throws, by its stable code. `docs/errors.md` explains each for people; a test holds
 * the two together. Branch on `code`, never on a message.
 */
export const errorTable = Object.freeze({
  ONCEMQ_OPTION_INVALID: { retryable: false, meaning: 'An option has a value that it cannot have.' },
  ONCEMQ_KEY_INVALID: {
    retryable: false,
    meaning: 'A key is not a non-empty string, or a payload not bytes.',
  },
  ONCEMQ_KEY_MISSING: { retryable: false, meaning: 'A message has no key, and the policy is to reject it.' },
  ONCEMQ_STORE_UNAVAILABLE: { retryable: true, meaning: 'The store does not answer, or cannot write.' },
  ONCEMQ_STORE_TIMEOUT: {
    retryable: true,
    meaning: 'The store did not answer in time; the outcome is unknown.',
  },
  ONCEMQ_STORE_REFUSED: {
    retryable: false,
    meaning: 'The store refused an operation that will not succeed if repeated.',
  },
  ONCEMQ_STORE_UNSAFE: { retryable: false, meaning: "The store's settings may lose or repeat messages." },
  ONCEMQ_STORE_BUSY: {
    retryable: true,
    meaning: 'The store is up, and something of ours holds what is asked for; it is asked again.',
  },
  ONCEMQ_STORE_FULL: {
    retryable: true,
    meaning: 'The store has reached its bound and holds nothing that may go.',
  },
  ONCEMQ_STORE_CORRUPT: {
    retryable: false,
    meaning: "The store's data or schema is not what this version expects.",
  },
  ONCEMQ_STORE_BROKEN: { retryable: false, meaning: 'A store answered against its contract.' },
  ONCEMQ_TRANSACTION_CONFLICT: {
    retryable: true,
    meaning: 'The database asks to run the whole transaction again.',
  },
  ONCEMQ_TRANSACTION_ENDED: {
    retryable: false,
    meaning: 'A handler ended its transaction by itself, or used it after its end.',
  },
  ONCEMQ_HANDLER_TIMEOUT: { retryable: false, meaning: 'A handler ran for longer than handlerTimeoutMs.' },
  ONCEMQ_COMMIT_UNKNOWN: { retryable: true, meaning: 'The outcome of a commit is not known.' },
  ONCEMQ_LEASE_LOST: { retryable: true, meaning: 'The lease ended, or another worker took over.' },
  ONCEMQ_ATTEMPTS_EXHAUSTED: { retryable: false, meaning: 'The message was started as often as is allowed.' },
  ONCEMQ_TABLE_UNFIT: {
    retryable: false,
    meaning:
      "A table of the user's is not as the strategy needs it: a constraint, column or index is missing.",
  },
  ONCEMQ_MESSAGE_UNREADABLE: {
    retryable: false,
    meaning: "A message does not say which row's state changes, or how.",
  },
  ONCEMQ_STATE_EARLY: {
    retryable: true,
    meaning: "The row's state is still before the message's transition.",
  },
  ONCEMQ_STATE_IMPOSSIBLE: {
    retryable: false,
    meaning: "The message's transition does not lead from the row's state.",
  },
  ONCEMQ_ROW_MISSING: {
    retryable: false,
    meaning: 'There is no row of which the message changes the state.',
  },
  ONCEMQ_CONFLICT: { retryable: false, meaning: 'The key was used before for another payload.' },
  ONCEMQ_PERMANENT: { retryable: false, meaning: 'The handler said that a retry is of no use.' },
  ONCEMQ_NEXT_TWICE: { retryable: false, meaning: 'A middleware called next() twice.' },
  ONCEMQ_CLOSED: { retryable: true, meaning: 'It is used after close().' },
  ONCEMQ_CONSUMER_UNSAFE: {
    retryable: false,
    meaning: 'The consumer cannot be deduplicated as it is set up.',
  },
  ONCEMQ_CONSUMER_ENDED: {
    retryable: false,
    meaning: 'The channel or connection of a consumer is gone for good.',
  },
  ONCEMQ_BROKER_UNAVAILABLE: { retryable: true, meaning: 'The broker does not answer.' },
} as const)

/** What an error is, by its name in {@link errorTable}: stable across versions. */
export type ErrorCode = keyof typeof errorTable

const brand = Symbol.for('oncemq.error')

/** The class of every error of oncemq. `cause` is the driver's own error, where there is one. */
export class OncemqError extends Error {
  readonly code: ErrorCode
  readonly retryable: boolean

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
    this.retryable = errorTable[code].retryable
    Object.defineProperty(this, brand, { value: true })
  }

  static {
    this.prototype.name = 'OncemqError'
  }
}

/** What a store throws, and what the core makes of anything else that a store throws. */
export class StoreError extends OncemqError {
  static {
    this.prototype.name = 'StoreError'
  }
}

/** A wrong option: says what was expected, what was received, and the remedy. */
export class OptionError extends OncemqError {
  constructor(message: string) {
    super('ONCEMQ_OPTION_INVALID', message)
  }

  static {
    this.prototype.name = 'OptionError'
  }
}

/**
 * Thrown by a handler that knows that a retry is of no use: the message goes to the dead-letter target at
 * once. The key is not done, so that a replay from there runs.
 * @example throw new PermanentError('the account is closed')
 */
export class PermanentError extends OncemqError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('ONCEMQ_PERMANENT', message, options)
  }

  static {
    this.prototype.name = 'PermanentError'
  }
}

/** Whether `error` is oncemq's own, also when it comes from another copy of this package. */
export function isOncemqError(error: unknown): error is OncemqError {
  return typeof error === 'object' && error !== null && brand in error
}

/** Whether it is an error, also one of another realm: under jest, that is what Node's own errors are. */
export function isError(value: unknown): value is Error {
  return types.isNativeError(value) || value instanceof Error
}

/**
 * What a user's code has thrown, which may be anything, to be looked at: where that would throw again, as
 * with a revoked proxy or an error whose message is none, another error in its place.
 */
export function readable(thrown: unknown): unknown {
  try {
    isOncemqError(thrown)
    if (!isError(thrown)) return thrown
    if (typeof thrown.name === 'string' && typeof thrown.message === 'string') return thrown
  } catch {
    // As below.
  }
  return new Error('what was thrown cannot be read')
}

const NAME_MAX = 100

/** The name of what was thrown by code of others, for a log: whoever names an error may write much. */
export function errorNameOf(thrown: unknown): string {
  const error = readable(thrown)
  return isError(error) ? error.name.slice(0, NAME_MAX) : typeof error
}

/**
 * The received value for a message: its type and, for numbers and the like, the value; never a text, which
 * may be a payload or have a password in it.
 */
export function received(value: unknown): string {
  if (value === null || value === undefined || typeof value === 'number' || typeof value === 'boolean') {
    return String(value)
  }
  if (typeof value === 'function')
    return isClass(value) ? 'a class (make an object of it with new)' : 'a function'
  if (typeof value !== 'object') return `a ${typeof value}`
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : 'an array'
  return isPromise(value) ? 'a promise (await it first)' : `an object (${className(value)})`
}

const PLAIN_MAX = 40

/**
 * The same for an option that is no text of the user's, such as a number or one of several words: there a
 * short text is a typing mistake, and is shown.
 */
export function receivedPlain(value: unknown): string {
  const isShown = typeof value === 'string' && value.length <= PLAIN_MAX && PLAIN.test(value)
  return isShown ? `'${value}'` : received(value)
}

/** Neither a quote nor what drives a terminal, and nothing of an address with a password. */
const PLAIN = /^[\w .,+-]*$/

/** Of its text only the beginning is looked at: all classes that are written as such begin so. */
function isClass(value: unknown): boolean {
  return /^class\b/.test(Function.prototype.toString.call(value))
}

/** A `then` that cannot be read is none. */
function isPromise(value: object): boolean {
  try {
    return typeof (value as { readonly then?: unknown }).then === 'function'
  } catch {
    return false
  }
}

/** Read from the prototype: a payload may have a `constructor` of its own. */
function className(value: object): string {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (typeof prototype !== 'object' || prototype === null) return 'no prototype'
  const { constructor } = prototype
  return typeof constructor === 'function' ? constructor.name : 'no class'
}
