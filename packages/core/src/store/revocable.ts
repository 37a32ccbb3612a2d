import { errorMonitor } from 'node:events'
import type { EventEmitter } from 'node:events'
import { types } from 'node:util'
import { StoreError } from '../errors.ts'
import { perProcess } from '../per-process.ts'
import { causes } from './causes.ts'

/** How {@link revocable} treats a driver's connection. */
export interface RevocableOptions {
  /** The store's class, for the message of a late use. */
  readonly store: string
  /** Whether an object that the connection gives away writes by it too, and so has to end with it. */
  nested?(value: object): boolean
  /**
   * Whether a method would end the connection or give it back, which is the store's to do: in the middle of
   * a transaction the pool would hand it, and the transaction, to somebody else. The handler is refused it.
   * @default none is
   */
  ends?(value: object, method: string | symbol): boolean
  /** Is given each call of the handler's before it is made. */
  onCall?(method: string | symbol, args: readonly unknown[]): void
  /** Is given what the driver answers by a promise, or to a callback. */
  onAnswer?(answer: unknown): void
  /** Is given each error that the driver makes on the connection, also those that the handler keeps quiet. */
  onError?(error: unknown): void
}

/** A connection that is lent to a handler, until it is taken back. */
export interface Revocable<Target extends object> {
  /** What the handler gets in place of the connection: it behaves alike, and is an instance of its class. */
  readonly proxy: Target
  /** Ends it: from now on each of its methods throws `ONCEMQ_TRANSACTION_ENDED`. Idempotent. */
  readonly revoke: () => void
  /**
   * Ends it while its handler runs, because of an error that the driver made: from now on each of its methods
   * throws that one again. For servers that have rolled back all, and let what follows commit by itself.
   */
  readonly fail: (error: unknown) => void
  /** Resolves when all that was asked of it is answered and read; `undefined` if it is by now. */
  readonly answered: () => Promise<unknown> | undefined
  /**
   * The error that the driver made on this connection and that stands behind `thrown`, which may be that
   * error itself. `undefined` for all others, however much they look like one: a handler may throw anything,
   * also what a sender put into a payload.
   */
  readonly driverErrorIn: (thrown: unknown) => unknown
}

/** Methods that may take a callback as their last argument, whose first argument is an error. */
const CALLED_BACK = new Set<string | symbol>(['query', 'execute'])
const LISTENING = new Set<string | symbol>([
  'on',
  'once',
  'addListener',
  'prependListener',
  'prependOnceListener',
])
const UNLISTENING = new Set<string | symbol>(['off', 'removeListener'])

/**
 * Lends a driver's connection: after `revoke` a branch of the handler that was left running fails loudly, and
 * writes neither outside of the transaction nor into another message's. What a handler sets on it, who
 * listens to it and what it iterates over stays with the loan: the connection's next user is somebody else.
 * @example
 * const nested = (value: object) => value instanceof StatementSync
 * const { proxy, revoke } = revocable(database, { store: 'SqliteStore', nested })
 * await work(proxy).finally(revoke)
 */
export function revocable<Target extends object>(
  target: Target,
  options: RevocableOptions,
): Revocable<Target> {
  const loan = new Loan(options)
  return {
    proxy: loan.lend(target),
    revoke: () => loan.revoke(),
    fail: (error) => loan.fail(error),
    answered: () => loan.answered(),
    driverErrorIn: (thrown) => loan.driverErrorIn(thrown),
  }
}

/** Whoever has a proxy alone finds the loan by it. */
const loans = perProcess('loans', () => new WeakMap<object, Pick<Loan, 'driverErrorIn'>>())

/**
 * {@link Revocable.driverErrorIn} for whoever has the proxy alone, also after its end. `undefined` for
 * objects that were not lent.
 * @example const error = driverErrorOn(tx, thrown)
 */
export function driverErrorOn(proxy: object, thrown: unknown): unknown {
  return loans.get(proxy)?.driverErrorIn(thrown)
}

type Method = (...args: unknown[]) => unknown

/** A connection and all that it gave away, which end together. */
class Loan {
  readonly #options: RevocableOptions
  readonly #errors = new WeakSet<object>()
  /** One proxy for each object, so that what is the same stays the same. */
  readonly #proxies = new WeakMap<object, object>()
  readonly #asked = new Set<Promise<unknown>>()
  readonly #unread = new Set<EventEmitter>()
  /** One that is not read to its end would keep its statement, and so the transaction, open. */
  readonly #iterators = new Set<Partial<Iterator<unknown>>>()
  /** Each takes a listener away. */
  readonly #listening: (() => unknown)[] = []
  #isOver = false
  #failure: { readonly error: unknown } | undefined

  constructor(options: RevocableOptions) {
    this.#options = options
  }

  /** What it asked, and nobody waits for any more, must not end the process when it fails. */
  revoke(): void {
    this.#isOver = true
    for (const query of this.#unread) query.on('error', () => undefined)
    this.#unread.clear()
    for (const unlisten of this.#listening.splice(0)) unlisten()
    for (const iterator of this.#iterators) endIteration(iterator)
    this.#iterators.clear()
  }

  fail(error: unknown): void {
    this.#failure ??= { error }
  }

  answered(): Promise<unknown> | undefined {
    return this.#asked.size === 0 ? undefined : Promise.allSettled(this.#asked)
  }

  driverErrorIn(thrown: unknown): unknown {
    for (const error of causes(thrown)) {
      if (isObject(error) && this.#errors.has(error)) return error
    }
    return undefined
  }

  lend<Target extends object>(target: Target): Target {
    const known = this.#proxies.get(target)
    if (known !== undefined) return known as Target
    const methods = new WeakMap<Method, Method>()
    const set = new Map<string | symbol, unknown>()
    const proxy = new Proxy(target, {
      get: (_target, name) => {
        if (set.has(name)) return set.get(name)
        // The target is the receiver too: a driver's getters and methods may use private fields.
        const value: unknown = Reflect.get(target, name, target)
        // Libraries ask for the class to know what they were given.
        if (typeof value !== 'function' || name === 'constructor') return this.#given(value)
        const method = methods.get(value as Method) ?? this.#method(target, name, value as Method)
        methods.set(value as Method, method)
        return method
      },
      set: (_target, name, value) => {
        this.#requireOpen()
        set.set(name, value)
        return true
      },
      has: (_target, name) => set.has(name) || Reflect.has(target, name),
      deleteProperty: (_target, name) => set.delete(name),
      defineProperty: () => false,
      setPrototypeOf: () => false,
      preventExtensions: () => false,
    })
    this.#proxies.set(target, proxy)
    if ('next' in target) this.#iterators.add(target as Partial<Iterator<unknown>>)
    loans.set(proxy, this)
    return proxy
  }

  /** A proxy of the function, which keeps what else is on it. */
  #method(target: object, name: string | symbol, method: Method): Method {
    return new Proxy(method, {
      apply: (_method, _this, args: unknown[]) => this.#call(target, name, method, args),
    })
  }

  #call(target: object, name: string | symbol, method: Method, args: unknown[]): unknown {
    // It is gone by now, which whoever takes it away after the end need not know.
    if (this.#isOver && UNLISTENING.has(name)) return this.#given(target)
    this.#requireOpen()
    if (LISTENING.has(name) && isEmitter(target)) {
      const [event, listener] = args as [string, Method]
      this.#listening.push(() => target.removeListener(event, listener))
    }
    if (this.#options.ends?.(target, name) === true) throw this.#notTheHandlers(name)
    this.#options.onCall?.(name, args)
    const { given, done } = CALLED_BACK.has(name) ? this.#heardBack(args) : { given: args, done: undefined }
    let answer: unknown
    try {
      answer = Reflect.apply(method, target, given)
    } catch (error) {
      done?.()
      throw this.#remembered(error)
    }
    if (!types.isPromise(answer)) {
      if (done !== undefined) this.#heardLater(args, answer, done)
      return this.#given(answer)
    }
    done?.()
    this.#asked.add(answer)
    return answer.then(
      (value) => {
        this.#asked.delete(answer)
        this.#options.onAnswer?.(value)
        return this.#given(value)
      },
      (error: unknown) => {
        this.#asked.delete(answer)
        throw this.#remembered(error)
      },
    )
  }

  /** A query may answer by events, perhaps as a stream: while it is unread, the connection is of no use. */
  #heardLater(args: readonly unknown[], answer: unknown, done: () => void): void {
    if (!isEmitter(answer)) {
      if (typeof args.at(-1) !== 'function') done()
      return
    }
    this.#unread.add(answer)
    const ended = (): void => {
      this.#unread.delete(answer)
      done()
    }
    for (const event of ['end', 'close', errorMonitor]) answer.once(event, ended)
  }

  /** What the connection gives away: itself, as `on()` does, a part of it, or a plain value. */
  #given(value: unknown): unknown {
    if (!isObject(value)) return value
    return this.#proxies.get(value) ?? (this.#options.nested?.(value) === true ? this.lend(value) : value)
  }

  /** The call is under way until `done` is called. */
  #heardBack(args: unknown[]): { readonly given: unknown[]; readonly done: () => void } {
    const callback = args.at(-1)
    let resolve: () => void
    const promise = new Promise<void>((answered) => (resolve = answered))
    this.#asked.add(promise)
    const done = (): void => {
      this.#asked.delete(promise)
      resolve()
    }
    if (typeof callback !== 'function') return { given: args, done }
    const heard = (error: unknown, ...rest: unknown[]): unknown => {
      done()
      if (!isObject(error)) this.#options.onAnswer?.(rest[0])
      return (callback as Method)(this.#remembered(error), ...rest)
    }
    return { given: [...args.slice(0, -1), heard], done }
  }

  #remembered(error: unknown): unknown {
    if (!isObject(error)) return error
    this.#errors.add(error)
    this.#options.onError?.(error)
    return error
  }

  #notTheHandlers(method: string | symbol): StoreError {
    return new StoreError(
      'ONCEMQ_TRANSACTION_ENDED',
      `${this.#options.store}: expected a handler that leaves the connection of tx to the store, received ` +
        `a call of ${String(method)}, which did nothing; return or throw to end the transaction`,
    )
  }

  #requireOpen(): void {
    if (this.#failure !== undefined && !this.#isOver) throw this.#failure.error
    if (!this.#isOver) return
    throw new StoreError(
      'ONCEMQ_TRANSACTION_ENDED',
      `${this.#options.store}: expected no use of tx after the end of its handler, received one, which did ` +
        `nothing; await all that the handler begins, also when a part of it fails (Promise.allSettled)`,
    )
  }
}

function endIteration(iterator: Partial<Iterator<unknown>>): void {
  try {
    iterator.return?.()
  } catch {
    // Its connection is closed.
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function isEmitter(value: unknown): value is EventEmitter {
  return isObject(value) && 'once' in value && typeof value.once === 'function'
}
