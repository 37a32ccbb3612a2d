import { AsyncLocalStorage } from 'node:async_hooks'
import type { OrmTransactions } from '@oncemq/core/store'
import { causes, perProcess, requireOrm } from '@oncemq/core/store'
import type { PostgresClient, PostgresPool } from './client.ts'

/** What is needed of a client of Prisma, of 7 or newer, with the adapter of `@prisma/adapter-pg`. */
export interface PrismaClient<Tx> {
  $transaction<Answer>(
    work: (tx: Tx) => Promise<Answer>,
    options?: { readonly maxWait?: number; readonly timeout?: number },
  ): Promise<Answer>
}

/** A connection that Prisma's adapter is to take as its next one. */
interface Loan {
  connection: PostgresClient | undefined
}

/** Which loan a pool has for the call that asks it. */
const lenders = perProcess('lenders', () => new WeakMap<object, AsyncLocalStorage<Loan>>())

/** Prisma's own bounds are at their maximum: the store has one for each part of a transaction. */
const BOUNDS = Object.freeze({ maxWait: 2 ** 31 - 1, timeout: 2 ** 31 - 1 })

/**
 * A pool like the one given, which lends Prisma's adapter the connection of a handler's transaction. Give it
 * to the adapter, to {@link prismaTransactions} and to the store.
 * @example
 * const pool = lendingPool(new pg.Pool({ connectionString }))
 * const prisma = new PrismaClient({ adapter: new PrismaPg(pool) })
 * const store = new PostgresStore({ pool, transactions: prismaTransactions(prisma, pool) })
 */
export function lendingPool<Pool extends object>(pool: Pool): Pool {
  requireOrm('lendingPool', 'a Pool of the package pg', pool, ['connect', 'query'])
  const loans = new AsyncLocalStorage<Loan>()
  const { connect: own } = pool as unknown as PostgresPool
  const connect = (...args: readonly unknown[]): unknown => {
    const loan = loans.getStore()
    const connection = loan?.connection
    // Once: whatever else the handler connects for is not its transaction.
    if (loan === undefined || connection === undefined) return Reflect.apply(own, pool, args)
    loan.connection = undefined
    return Promise.resolve(connection)
  }
  const lending = new Proxy(pool, {
    get(target, name) {
      if (name === 'connect') return connect
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
  lenders.set(lending, loans)
  return lending
}

/**
 * `context.tx` is the client of an interactive transaction of Prisma. `pool` is the {@link lendingPool} that
 * Prisma's adapter and the store have.
 * @example new PostgresStore({ pool, transactions: prismaTransactions(prisma, pool) })
 */
export function prismaTransactions<Tx>(
  prisma: PrismaClient<Tx>,
  pool: object,
): OrmTransactions<PostgresClient, Tx> {
  const loans = lenders.get(pool)
  requireOrm('prismaTransactions', 'a client of Prisma', prisma, ['$transaction'])
  requireOrm('prismaTransactions', "the lendingPool of Prisma's adapter", loans, ['run'])
  return {
    async within(connection, work) {
      const errors = new Errors()
      const loan: Loan = { connection: errors.of(connection) }
      const begin = () => prisma.$transaction((tx) => errors.linked(() => work(inOne(tx))), BOUNDS)
      return (loans as AsyncLocalStorage<Loan>).run(loan, begin)
    },
  }
}

/** A client of a transaction, whose lists of queries run in it too: by itself it runs them beside it. */
function inOne<Tx>(tx: Tx): Tx {
  type Inner = (tx: unknown) => Promise<unknown>
  const client = tx as object
  const $transaction = (asked: Inner | readonly PromiseLike<unknown>[], options?: unknown): unknown => {
    const inner: Inner = Array.isArray(asked)
      ? () => inTurn(asked)
      : (within) => (asked as Inner)(inOne(within))
    return (client as { $transaction(work: Inner, options?: unknown): unknown }).$transaction(inner, options)
  }
  return new Proxy(client, {
    get: (target, name) => (name === '$transaction' ? $transaction : (Reflect.get(target, name) as unknown)),
  }) as Tx
}

/** Prisma sends a query when it is awaited. */
async function inTurn(queries: readonly PromiseLike<unknown>[]): Promise<unknown[]> {
  const answers: unknown[] = []
  for (const query of queries) answers.push(await query)
  return answers
}

/** Prisma makes errors of its own and forgets those of the driver, by which the store knows what happened. */
class Errors {
  #last: unknown

  /** A connection whose errors are noted. */
  of(connection: PostgresClient): PostgresClient {
    const query: PostgresClient['query'] = async (asked) => {
      try {
        return await connection.query(asked)
      } catch (error) {
        this.#last = error
        throw error
      }
    }
    return new Proxy(connection, {
      get: (target, name) => (name === 'query' ? query : (Reflect.get(target, name) as unknown)),
    })
  }

  /** Runs what may throw an error of Prisma, which then has that of the driver as its cause. */
  async linked<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    try {
      return await work()
    } catch (error) {
      for (const each of causes(error)) {
        if (isOfPrisma(each) && !Object.isFrozen(each)) {
          Object.defineProperty(each, 'cause', { value: this.#last, configurable: true })
          break
        }
      }
      throw error
    }
  }
}

function isOfPrisma(error: unknown): error is Error {
  return error instanceof Error && 'clientVersion' in error && error.cause === undefined
}
