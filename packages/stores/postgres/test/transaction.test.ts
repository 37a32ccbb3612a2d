import type { ClaimRequest, CompleteUpdate } from '@oncemq/core/store'
import { createDeduplicator, isOncemqError } from '@oncemq/core'
import { PostgresStore } from '@oncemq/postgres'
import type { PostgresStoreOptions } from '@oncemq/postgres'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { databaseOf } from './database.ts'
import { claimOf, completionOf } from '@oncemq/test-stores'

const NAME = 'transacted'

describeService('postgres-18', (server) => {
  const { pool, effects, end } = databaseOf(server)
  const opened: PostgresStore<pg.PoolClient>[] = []

  beforeAll(async () => {
    await effects.prepare?.(NAME)
    await pool.query(`CREATE TABLE accounts (id integer PRIMARY KEY, cents integer NOT NULL);
      INSERT INTO accounts VALUES (1, 1000), (2, 1000)`)
  })
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((store) => store.close()))
  })
  afterAll(end)

  async function open(options: PostgresStoreOptions<pg.PoolClient> = { pool }) {
    const store = new PostgresStore<pg.PoolClient>({ table: NAME, ...options })
    await store.open()
    opened.push(store)
    return store
  }

  async function granted(store: PostgresStore<pg.PoolClient>): Promise<ClaimRequest> {
    const claim = claimOf()
    expect((await store.claim([claim]))[0]?.status).toBe('granted')
    return claim
  }

  /** Runs a handler that writes, then does `more`, and answers what came of it. */
  async function attempt(
    store: PostgresStore<pg.PoolClient>,
    claim: ClaimRequest,
    more: (tx: pg.PoolClient) => Promise<unknown> = async () => undefined,
  ): Promise<unknown> {
    const work = async (tx: pg.PoolClient): Promise<CompleteUpdate> => {
      await effects.write(tx, NAME, claim.id)
      await more(tx)
      return completionOf(claim)
    }
    return store.transaction(work).catch((error: unknown) => (isOncemqError(error) ? error.code : error))
  }

  async function stateOf(store: PostgresStore<pg.PoolClient>, { id }: ClaimRequest) {
    return [(await store.inspect([id]))[0]?.state, await effects.count(NAME, id)]
  }

  describe('a handler that meddles with the transaction', () => {
    test.each([
      ['COMMIT', ['running', 1]],
      ['ROLLBACK', ['running', 0]],
      ['COMMIT; BEGIN', ['running', 1]],
      ['ROLLBACK; BEGIN; SELECT pg_current_xact_id()', ['running', 0]],
      ['COMMIT AND CHAIN', ['running', 1]],
    ])('is noticed when it runs %s, and the message is not done', async (statements, state) => {
      const store = await open()
      const claim = await granted(store)
      expect(await attempt(store, claim, (tx) => tx.query(statements))).toBe('ONCEMQ_TRANSACTION_ENDED')
      expect(await stateOf(store, claim)).toEqual(state)
    })

    test('may use savepoints', async () => {
      const store = await open()
      const claim = await granted(store)
      const careful = async (tx: pg.PoolClient) => {
        await tx.query('SAVEPOINT mine')
        await tx.query('SELECT 1/0').catch(() => tx.query('ROLLBACK TO SAVEPOINT mine'))
      }
      expect(await attempt(store, claim, careful)).toBe('ok')
      expect(await stateOf(store, claim)).toEqual(['done', 1])
    })

    test('is told that a failed statement that it keeps quiet about has ended its transaction', async () => {
      const store = await open()
      const claim = await granted(store)
      const quiet = (tx: pg.PoolClient) => tx.query('SELECT 1/0').catch(() => undefined)
      expect(await attempt(store, claim, quiet)).toBe('ONCEMQ_STORE_REFUSED')
      expect(await stateOf(store, claim)).toEqual(['running', 0])
    })

    test('and makes it read-only is refused, which is no outage', async () => {
      const store = await open()
      const claim = await granted(store)
      const reading = (tx: pg.PoolClient) => tx.query('SET TRANSACTION READ ONLY')
      expect(await attempt(store, claim, reading)).toBe('ONCEMQ_STORE_REFUSED')
      expect(await stateOf(store, claim)).toEqual(['running', 0])
    })

    test('leaves its connection clean for the next one', async () => {
      const single = new pg.Pool({ connectionString: server.url, max: 1 })
      const store = await open({ pool: single, transactionsMax: 1 })
      const claim = await granted(store)
      await attempt(store, claim, (tx) => tx.query('COMMIT; BEGIN'))
      await attempt(store, claim, () => Promise.reject(new Error('the handler failed')))
      const { rows } = await single.query('SELECT pg_current_xact_id_if_assigned() AS open')
      expect([rows, single.totalCount]).toEqual([[{ open: null }], 1])
      await store.close()
      await single.end()
    })
  })

  describe('conflicts', () => {
    test('a deadlock of two handlers is a conflict of one, which runs again', async () => {
      const ledger = createDeduplicator({
        store: await open(),
        consumerGroup: 'ledger',
        strategy: 'transactional',
      })
      const both = Promise.withResolvers<void>()
      let waiting = 0
      let runs = 0
      const move = (key: string, from: number, to: number) =>
        ledger.run(key, async ({ tx }) => {
          runs += 1
          await tx.query('UPDATE accounts SET cents = cents - 1 WHERE id = $1', [from])
          if ((waiting += 1) === 2) both.resolve()
          await both.promise
          await tx.query('UPDATE accounts SET cents = cents + 1 WHERE id = $1', [to])
        })
      const outcomes = await Promise.all([move('a', 1, 2), move('b', 2, 1)])
      expect(outcomes.map(({ status }) => status)).toEqual(['completed', 'completed'])
      expect(runs).toBeGreaterThanOrEqual(3)
      const { rows } = await pool.query('SELECT cents FROM accounts ORDER BY id')
      expect(rows).toEqual([{ cents: 1000 }, { cents: 1000 }])
      await ledger.close()
    })

    test('a serialization failure is a conflict, also when the handler wraps it', async () => {
      const store = await open({ pool, isolation: 'serializable' })
      const claim = await granted(store)
      const overtaken = async (tx: pg.PoolClient) => {
        await tx.query('SELECT cents FROM accounts WHERE id = 1')
        await pool.query('UPDATE accounts SET cents = cents WHERE id = 1')
        await tx.query('UPDATE accounts SET cents = cents WHERE id = 1').catch((cause: unknown) => {
          throw new Error('the order failed', { cause })
        })
      }
      expect(await attempt(store, claim, overtaken)).toBe('ONCEMQ_TRANSACTION_CONFLICT')
      expect(await stateOf(store, claim)).toEqual(['running', 0])
      expect(await attempt(store, claim)).toBe('ok')
    })

    test('a conflict that only COMMIT finds is one too', async () => {
      const store = await open({ pool, isolation: 'serializable' })
      const claims = [await granted(store), await granted(store)]
      const both = Promise.withResolvers<void>()
      let waiting = 0
      // Each reads what the other writes: one of the two has to go, and may learn of it at the very end.
      const skewed = (account: number) => async (tx: pg.PoolClient) => {
        await tx.query('SELECT sum(cents) FROM accounts')
        if ((waiting += 1) === 2) both.resolve()
        await both.promise
        await tx.query('UPDATE accounts SET cents = cents WHERE id = $1', [account])
      }
      const answers = await Promise.all(
        claims.map((claim, position) => attempt(store, claim, skewed(position + 1))),
      )
      expect(new Set(answers)).toEqual(new Set(['ok', 'ONCEMQ_TRANSACTION_CONFLICT']))
    })
  })

  test('a constraint that is checked at the end is refused, and all is rolled back', async () => {
    await pool.query(`CREATE TABLE deferred (id integer UNIQUE DEFERRABLE INITIALLY DEFERRED)`)
    const store = await open()
    const claim = await granted(store)
    const twice = (tx: pg.PoolClient) => tx.query('INSERT INTO deferred VALUES (1), (1)')
    expect(await attempt(store, claim, twice)).toBe('ONCEMQ_STORE_REFUSED')
    expect(await stateOf(store, claim)).toEqual(['running', 0])
  })

  test('a commit whose answer is lost is unknown, and its repetition has no second effect', async () => {
    const proxy = await FaultProxy.open(server.url)
    const behind = new pg.Pool({ connectionString: proxy.url, application_name: 'behind' })
    behind.on('error', () => undefined)
    const store = await open({ pool: behind, timeoutMs: 500 })
    const claim = await granted(store)
    // The server runs the COMMIT after the delayed check of a constraint, by when nothing it says arrives.
    await pool.query(`CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$;
      CREATE TABLE slow (id integer);
      CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION slow()`)
    const committing = attempt(store, claim, (tx) => tx.query('INSERT INTO slow VALUES (1)'))
    await expect
      .poll(
        async () =>
          (
            await pool.query(
              `SELECT FROM pg_stat_activity
               WHERE query LIKE '%COMMIT' AND state = 'active' AND application_name = 'behind'`,
            )
          ).rowCount,
      )
      .toBe(1)
    proxy.swallowReplies()
    expect(await committing).toBe('ONCEMQ_COMMIT_UNKNOWN')
    proxy.resume()
    expect(await stateOf(store, claim)).toEqual(['done', 1])
    expect(await attempt(store, claim)).toBe('ok')
    expect(await stateOf(store, claim)).toEqual(['done', 1])
    await store.close()
    await behind.end()
    await proxy.close()
  })

  test('a connection that ends inside of a handler takes its writes back', async () => {
    const store = await open()
    const claim = await granted(store)
    const killed = async (tx: pg.PoolClient) => {
      const { rows } = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
      await pool.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid])
    }
    // Unknown if the COMMIT was on its way by the time at which this side learned of it.
    expect(await attempt(store, claim, killed)).toMatch(/^ONCEMQ_(?:STORE_UNAVAILABLE|COMMIT_UNKNOWN)$/)
    expect(await stateOf(store, claim)).toEqual(['running', 0])
    expect(await attempt(store, claim)).toBe('ok')
  })

  test('handlers that wait for their turn leave connections for claims and renewals', async () => {
    const small = new pg.Pool({ connectionString: server.url, max: 4 })
    const store = await open({ pool: small, transactionsMax: 2, timeoutMs: 1000 })
    const claims = await Promise.all(Array.from({ length: 6 }, () => granted(store)))
    const gate = Promise.withResolvers<void>()
    let running = 0
    let most = 0
    const handled = claims.map((claim) =>
      attempt(store, claim, async () => {
        most = Math.max(most, (running += 1))
        await gate.promise
        running -= 1
      }),
    )
    await expect.poll(() => running).toBe(2)
    const renewals = claims.map((claim) => ({
      ...completionOf(claim),
      op: 'renew' as const,
      leaseMs: 60_000,
    }))
    expect(await store.update(renewals)).toEqual(claims.map(() => 'ok'))
    await granted(store)
    gate.resolve()
    expect(await Promise.all(handled)).toEqual(claims.map(() => 'ok'))
    expect(most).toBe(2)
    await store.close()
    await small.end()
  })

  test('close waits for an open handler', async () => {
    const store = await open()
    const claim = await granted(store)
    const gate = Promise.withResolvers<void>()
    const answer = attempt(store, claim, () => gate.promise)
    const closing = store.close().then(() => 'closed')
    expect(await Promise.race([closing, Promise.resolve('open')])).toBe('open')
    gate.resolve()
    expect([await answer, await closing]).toEqual(['ok', 'closed'])
  })

  test('a close that overtakes open() leaves it closed, and open() works again', async () => {
    const hasty = new PostgresStore({ url: server.url, table: NAME })
    const opening = hasty.open()
    await hasty.close()
    await opening.catch(() => undefined)
    await expect(hasty.claim([claimOf()])).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
    await hasty.open()
    expect((await hasty.claim([claimOf()]))[0]?.status).toBe('granted')
    await hasty.close()
  })
})
