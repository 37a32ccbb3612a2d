import { EventEmitter } from 'node:events'
import { callbackify } from 'node:util'
import { StoreError } from '../errors.ts'
import { perProcess } from '../per-process.ts'
import { deferred } from '../time/deferred.ts'
import type { UpdateAnswer } from './contract.ts'
import { driverErrorOn } from './revocable.ts'

/**
 * Gives a handler the transaction object of the team's ORM in place of the driver's connection. The store
 * opens the transaction, completes in it and commits; the ORM writes by the connection that it is lent, and
 * needs no pool of its own for it.
 */
export interface OrmTransactions<Connection, Tx> {
  /**
   * Calls `work` once, with a transaction object of the ORM that writes by `connection` alone, and settles
   * when `work` has settled, as it did. What the ORM holds back is written before that.
   *
   * A transaction is open on the connection already. What the ORM sends to begin it is answered here, and so
   * is what it sends to end it once `work` has settled; what the handler itself sends reaches the server,
   * savepoints among it. The answer to the ORM's COMMIT comes when the store has committed, so that what runs
   * after a commit runs after this one. `release` and its like do nothing.
   */
  within<Answer>(connection: Connection, work: (tx: Tx) => Promise<Answer>): Promise<Answer>
}

/** What a driver answers to a statement that has nothing to say: to a callback, and by a promise. */
export interface EmptyAnswers {
  readonly calledBack: unknown
  readonly promised: unknown
}

/** What it answers ends the transaction: that is the store's, and passes through. */
type Work<Tx, End> = (tx: Tx) => Promise<End>

/** The connections of the ORM's transactions that are open, or were. */
const connections = perProcess('connections', () => new WeakMap<object, object>())

/**
 * The connection by which the transaction of a handler writes: what was lent to the ORM, or `tx` itself
 * where there is none.
 */
export function connectionOf<Connection extends object>(tx: unknown): Connection {
  return (connections.get(tx as object) ?? tx) as Connection
}

/**
 * Runs `work` with the ORM's transaction object, on the connection that `run` lends, opens a transaction on
 * and commits: the one seam between a store's own transactions and the team's. Without an ORM the handler's
 * transaction is the connection itself. `empty` is for connections that take SQL.
 */
export async function throughOrm<Connection extends object, Tx, End>(
  orm: OrmTransactions<Connection, Tx> | undefined,
  work: Work<Tx, End>,
  empty: EmptyAnswers | undefined,
  run: (work: Work<Connection, End>) => Promise<UpdateAnswer>,
): Promise<UpdateAnswer> {
  if (orm === undefined) return run(work as unknown as Work<Connection, End>)
  const committed = deferred<void>()
  // The ORM hears of it, if it has asked.
  committed.promise.catch(() => undefined)
  try {
    const answer = await run((connection) =>
      new OrmHandler(orm, work, { empty, committed: committed.promise }).run(connection),
    )
    if (answer === 'ok') committed.resolve()
    else committed.reject(rolledBack())
    return answer
  } catch (error) {
    committed.reject(error)
    throw error
  }
}

type Handled<End> = { readonly end: End } | { readonly error: unknown }

/** One handler, in one transaction of the ORM's. */
class OrmHandler<Connection extends object, Tx, End> {
  readonly #orm: OrmTransactions<Connection, Tx>
  readonly #work: Work<Tx, End>
  readonly #bracket: Bracket
  readonly #commitAsked = deferred<void>()
  #hasBegun = false
  #handled: Handled<End> | undefined

  constructor(
    orm: OrmTransactions<Connection, Tx>,
    work: Work<Tx, End>,
    { empty, committed }: { readonly empty: EmptyAnswers | undefined; readonly committed: Promise<void> },
  ) {
    this.#orm = orm
    this.#work = work
    this.#bracket = new Bracket(empty, () => {
      this.#commitAsked.resolve()
      return committed
    })
  }

  /** Settles when the handler has, and the ORM has written all: it waits for its COMMIT, or has none. */
  async run(connection: Connection): Promise<End> {
    const handle = async (tx: Tx) => this.#handle(tx, connection)
    const within = this.#orm.within(this.#bracket.around(connection), handle)
    try {
      await Promise.race([within, this.#commitAsked.promise])
    } catch (error) {
      if (this.#handled === undefined || 'end' in this.#handled) throw ofTheEnd(connection, error)
    }
    // Once the store has committed, what the ORM does is no failure of the message.
    within.catch(() => undefined)
    if (this.#handled === undefined) throw unsettled()
    // The error itself, which the ORM may have wrapped or kept: who threw what, decides.
    if ('error' in this.#handled) throw this.#handled.error
    return this.#handled.end
  }

  async #handle(tx: Tx, connection: Connection): Promise<End> {
    // A second effect in the one transaction: what is to be run again is the store's to know.
    if (this.#hasBegun) throw repeated()
    this.#hasBegun = true
    connections.set(tx as object, connection)
    this.#bracket.isHandling = true
    try {
      const end = await this.#work(tx)
      this.#handled = { end }
      return end
    } catch (error) {
      this.#handled = { error }
      throw error
    } finally {
      this.#bracket.isHandling = false
      this.#bracket.hasHandled = true
    }
  }
}

/** What begins a transaction, or sets how the next one is. */
const BEGINNING = /^\s*(?:begin|start\s+transaction|set\s+(?:session\s+)?transaction)\b/i
/** What ends it. Not ROLLBACK TO, which goes back to a savepoint. */
const ENDING = /^\s*(commit|rollback)\s*(?:work|transaction)?\s*;?\s*$/i
const SENDING = new Set<string | symbol>(['query', 'execute'])
const RELEASING = new Set<string | symbol>(['release', 'end', 'destroy'])

type Method = (...args: unknown[]) => unknown
type Callback = (error: Error | null, answer?: unknown) => void

/** Keeps the ORM's own BEGIN, COMMIT and ROLLBACK around a handler from the server. */
class Bracket {
  isHandling = false
  hasHandled = false
  readonly #empty: EmptyAnswers | undefined
  readonly #commit: () => Promise<void>
  readonly #proxies = new WeakMap<object, object>()

  constructor(empty: EmptyAnswers | undefined, commit: () => Promise<void>) {
    this.#empty = empty
    this.#commit = commit
  }

  around<Target extends object>(target: Target): Target {
    if (this.#empty === undefined) return target
    const known = this.#proxies.get(target)
    if (known !== undefined) return known as Target
    const methods = new WeakMap<Method, Method>()
    const set = new Map<string | symbol, unknown>()
    const proxy = new Proxy(target, {
      get: (_target, name) => {
        if (set.has(name)) return set.get(name)
        const value: unknown = Reflect.get(target, name)
        if (name === 'constructor') return value
        if (typeof value !== 'function') return this.#given(value)
        const method = methods.get(value as Method) ?? this.#method(name, value as Method)
        methods.set(value as Method, method)
        return method
      },
      // What an ORM notes on its connection, it notes and removes also when that is taken back.
      set: (_target, name, value) => set.set(name, value) === set,
      has: (_target, name) => set.has(name) || Reflect.has(target, name),
      deleteProperty: (_target, name) => set.delete(name) || true,
      defineProperty: () => false,
    })
    this.#proxies.set(target, proxy)
    return proxy
  }

  #method(name: string | symbol, method: Method): Method {
    return new Proxy(method, {
      apply: (_method, self: unknown, args: unknown[]) => {
        if (!this.isHandling && RELEASING.has(name)) return undefined
        const done = SENDING.has(name) ? this.#swallowed(args) : undefined
        if (done !== undefined) return this.#answered(args, done)
        try {
          return this.#given(Reflect.apply(method, self, args) as unknown)
        } catch (error) {
          // Where the server has rolled back by itself, there is nothing that an ORM still has to.
          if (endOf(args) !== 'rollback') throw error
          return this.#answered(args, Promise.resolve())
        }
      },
    })
  }

  /** When to answer a statement that is kept from the server. */
  #swallowed(args: readonly unknown[]): Promise<void> | undefined {
    if (this.isHandling) return undefined
    if (!this.hasHandled) return BEGINNING.test(statementOf(args)) ? Promise.resolve() : undefined
    const end = endOf(args)
    if (end === undefined) return undefined
    return end === 'commit' ? this.#commit() : Promise.resolve()
  }

  #answered(args: readonly unknown[], done: Promise<void>): unknown {
    const callback = args.at(-1)
    if (typeof callback !== 'function') return done.then(() => this.#empty?.promised)
    callbackify(() => done.then(() => this.#empty?.calledBack))(callback as Callback)
    return new EventEmitter()
  }

  /** A connection within the connection, as `mysql2` has it, is the same one. */
  #given(value: unknown): unknown {
    if (typeof value !== 'object' || value === null || value instanceof Promise) return value
    const { query } = value as { readonly query?: unknown }
    return typeof query === 'function' ? this.around(value) : value
  }
}

/** What a call of `query` or `execute` sends. */
function statementOf([first]: readonly unknown[]): string {
  const { text, sql } = (first ?? {}) as { readonly text?: unknown; readonly sql?: unknown }
  const statement = typeof first === 'string' ? first : (text ?? sql)
  return typeof statement === 'string' ? statement : ''
}

/** How it ends the transaction, if it does. */
function endOf(args: readonly unknown[]): string | undefined {
  return ENDING.exec(statementOf(args))?.[1]?.toLowerCase()
}

/**
 * What was written for a handler after its end, as an ORM does that collects its writes, was refused: like a
 * constraint that is checked by COMMIT.
 */
function ofTheEnd(connection: object, error: unknown): unknown {
  if (driverErrorOn(connection, error) === undefined) return error
  return new StoreError(
    'ONCEMQ_STORE_REFUSED',
    'expected the ORM to write what its handler has left to it, but the server refused a statement; ' +
      'look at what the handler wrote: the cause says more',
    { cause: error },
  )
}

function repeated(): StoreError {
  return new StoreError(
    'ONCEMQ_STORE_BROKEN',
    'transactions: expected within() to call work once, received a second call; leave out what repeats ' +
      'transactions, which the store does',
  )
}

function unsettled(): StoreError {
  return new StoreError(
    'ONCEMQ_STORE_BROKEN',
    'transactions: expected within() to settle after work, received an end before it; ' +
      'await what work(tx) returns',
  )
}

function rolledBack(): StoreError {
  return new StoreError(
    'ONCEMQ_TRANSACTION_ENDED',
    'expected to commit, but another worker has taken the message over, and all was rolled back',
  )
}
