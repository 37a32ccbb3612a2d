import type { ClaimRequest, CompleteUpdate } from '@oncemq/core/store'
import { createDeduplicator, isOncemqError } from '@oncemq/core'
import { MysqlStore } from '@oncemq/mysql'
import type { MysqlStoreOptions } from '@oncemq/mysql'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import mysql from 'mysql2/promise'
import type { PoolConnection, RowDataPacket } from 'mysql2/promise'
import { afterAll, afterEach, beforeAll, describe, expect, test, onTestFinished } from 'vitest'
import { databaseOf, poolBefore } from './database.ts'
import { claimOf, completionOf } from '@oncemq/test-stores'

/** Statement by statement, several as one by the pool's setting, and as a compound statement. */
const WAYS = [
  ['mysql-8.0', 'transacted', { multipleStatements: false }],
  ['mysql-8.0', 'transacted_at_once', { multipleStatements: true }],
  ['mariadb-11.8', 'transacted', { multipleStatements: false }],
] as const

for (const [name, NAME, how] of WAYS) {
  describeService(name, (server) => {
    const { pool, effects, end } = databaseOf(server, how)
    const opened: MysqlStore<PoolConnection>[] = []

    beforeAll(async () => {
      await effects.prepare?.(NAME)
      await pool.query('DROP TABLE IF EXISTS accounts')
      await pool.query('CREATE TABLE accounts (id INT PRIMARY KEY, cents INT NOT NULL)')
      await pool.query('INSERT INTO accounts VALUES (1, 1000), (2, 1000)')
    })
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((store) => store.close()))
    })
    afterAll(end)

    async function open(options: MysqlStoreOptions<PoolConnection> = { pool }) {
      const store = new MysqlStore<PoolConnection>({ table: NAME, ...options })
      await store.open()
      opened.push(store)
      return store
    }

    async function granted(store: MysqlStore<PoolConnection>): Promise<ClaimRequest> {
      const claim = claimOf()
      expect((await store.claim([claim]))[0]?.status).toBe('granted')
      return claim
    }

    /** Runs a handler that writes, then does `more`, and answers what came of it. */
    async function attempt(
      store: MysqlStore<PoolConnection>,
      claim: ClaimRequest,
      more: (tx: PoolConnection) => Promise<unknown> = async () => undefined,
    ): Promise<unknown> {
      const work = async (tx: PoolConnection): Promise<CompleteUpdate> => {
        await effects.write(tx, NAME, claim.id)
        await more(tx)
        return completionOf(claim)
      }
      return store.transaction(work).catch((error: unknown) => (isOncemqError(error) ? error.code : error))
    }

    async function stateOf(store: MysqlStore<PoolConnection>, { id }: ClaimRequest) {
      return [(await store.inspect([id]))[0]?.state, await effects.count(NAME, id)]
    }

    async function balances(): Promise<number[]> {
      const [rows] = await pool.query<RowDataPacket[]>('SELECT cents FROM accounts ORDER BY id')
      return rows.map((row) => Number(row['cents']))
    }

    describe('a handler that meddles with the transaction', () => {
      test.each<[string[], unknown[]]>([
        [['COMMIT'], ['running', 1]],
        [['ROLLBACK'], ['running', 0]],
        [
          ['COMMIT', 'START TRANSACTION'],
          ['running', 1],
        ],
        [['START TRANSACTION'], ['running', 1]],
        [['COMMIT AND CHAIN'], ['running', 1]],
        [['CREATE TABLE IF NOT EXISTS by_itself (id INT)'], ['running', 1]],
        [['TRUNCATE TABLE by_itself'], ['running', 1]],
        [
          [`LOCK TABLES ${NAME} READ`, 'UNLOCK TABLES'],
          ['running', 1],
        ],
      ])('is noticed when it runs %s, and the message is not done', async (statements, state) => {
        const store = await open()
        const claim = await granted(store)
        const meddle = async (tx: PoolConnection) => {
          for (const statement of statements) await tx.query(statement)
        }
        expect(await attempt(store, claim, meddle)).toBe('ONCEMQ_TRANSACTION_ENDED')
        expect(await stateOf(store, claim)).toEqual(state)
      })

      test('may use savepoints, and statements that fail', async () => {
        const store = await open()
        const claim = await granted(store)
        const careful = async (tx: PoolConnection) => {
          await tx.query('SAVEPOINT mine')
          await effects.write(tx, NAME, 'undone')
          await tx.query('ROLLBACK TO SAVEPOINT mine')
          await tx.query('INSERT INTO accounts VALUES (1, 0)').catch(() => undefined)
        }
        expect(await attempt(store, claim, careful)).toBe('ok')
        expect(await stateOf(store, claim)).toEqual(['done', 1])
        expect(await effects.count(NAME, 'undone')).toBe(0)
      })

      test('leaves its connection clean for the next one', async () => {
        const single = mysql.createPool({ uri: server.url, connectionLimit: 1 })
        const store = await open({ pool: single, transactionsMax: 1 })
        const claim = await granted(store)
        await attempt(store, claim, async (tx) => {
          await tx.query('COMMIT')
          await tx.query('START TRANSACTION')
          await effects.write(tx, NAME, 'left behind')
        })
        await attempt(store, claim, () => Promise.reject(new Error('the handler failed')))
        // On the same connection a COMMIT would commit what was left.
        await single.query('COMMIT')
        expect(await effects.count(NAME, 'left behind')).toBe(0)
        await store.close()
        await single.end()
      })

      test('leaves no table locked by an idle connection', async () => {
        const single = mysql.createPool({ uri: server.url, connectionLimit: 1 })
        onTestFinished(() => single.end())
        const store = await open({ pool: single, transactionsMax: 1 })
        const claim = await granted(store)
        const locking = (tx: PoolConnection) => tx.query('LOCK TABLES accounts WRITE')
        expect(await attempt(store, claim, locking)).toBe('ONCEMQ_TRANSACTION_ENDED')
        await store.close()
        const [changed] = await pool.query('UPDATE accounts SET cents = cents WHERE id = 1')
        expect(changed).toMatchObject({ affectedRows: 1 })
      })
    })

    describe('conflicts', () => {
      test('a deadlock of two handlers is a conflict of one, which runs again', async () => {
        const store = await open()
        const ledger = createDeduplicator({ store, consumerGroup: 'ledger', strategy: 'transactional' })
        const both = Promise.withResolvers<void>()
        let waiting = 0
        let runs = 0
        const move = (key: string, from: number, to: number) =>
          ledger.run(key, async ({ tx }) => {
            runs += 1
            await tx.query('UPDATE accounts SET cents = cents - 1 WHERE id = ?', [from])
            if ((waiting += 1) === 2) both.resolve()
            await both.promise
            await tx.query('UPDATE accounts SET cents = cents + 1 WHERE id = ?', [to])
          })
        const outcomes = await Promise.all([move('a', 1, 2), move('b', 2, 1)])
        expect(outcomes.map(({ status }) => status)).toEqual(['completed', 'completed'])
        expect(runs).toBeGreaterThanOrEqual(3)
        expect(await balances()).toEqual([1000, 1000])
        await ledger.close()
      })

      test('a lock that is held too long is a conflict, also when the handler wraps its error', async () => {
        const store = await open()
        const claim = await granted(store)
        const other = await pool.getConnection()
        await other.beginTransaction()
        await other.query('UPDATE accounts SET cents = cents WHERE id = 1')
        const waiting = async (tx: PoolConnection) => {
          await tx.query('SET SESSION innodb_lock_wait_timeout = 1')
          await tx.query('UPDATE accounts SET cents = 0 WHERE id = 1').catch((cause: unknown) => {
            throw new Error('the order failed', { cause })
          })
        }
        expect(await attempt(store, claim, waiting)).toBe('ONCEMQ_TRANSACTION_CONFLICT')
        await other.rollback()
        other.release()
        expect(await stateOf(store, claim)).toEqual(['running', 0])
        expect(await attempt(store, claim)).toBe('ok')
      })

      test.each(['repeatable read', 'serializable'] as const)(
        '%s is what the handler runs at',
        async (isolation) => {
          const store = await open({ pool, isolation })
          const claim = await granted(store)
          let seen: unknown[] = []
          const reading = async (tx: PoolConnection) => {
            const before = await tx.query<RowDataPacket[]>('SELECT cents FROM accounts WHERE id = 2')
            // At serializable the row is locked by having been read.
            if (isolation === 'repeatable read')
              await pool.query('UPDATE accounts SET cents = cents + 1 WHERE id = 2')
            const after = await tx.query<RowDataPacket[]>('SELECT cents FROM accounts WHERE id = 2')
            seen = [before[0], after[0]]
          }
          expect(await attempt(store, claim, reading)).toBe('ok')
          expect(seen[0]).toEqual(seen[1])
          await pool.query('UPDATE accounts SET cents = 1000 WHERE id = 2')
          expect(await stateOf(store, claim)).toEqual(['done', 1])
        },
      )

      test('a repetition sees that it has completed, also above read committed', async () => {
        const store = await open({ pool, isolation: 'repeatable read' })
        const claim = await granted(store)
        const overtaken = async (tx: PoolConnection) => {
          // The snapshot is taken before the first run's commit.
          await tx.query('SELECT * FROM accounts')
          expect(await store.update([completionOf(claim)])).toEqual(['ok'])
        }
        const answer = await attempt(store, claim, overtaken)
        // MariaDB may ask for the whole again; the next run is told.
        expect(answer === 'ONCEMQ_TRANSACTION_CONFLICT' ? await attempt(store, claim) : answer).toBe('ok')
        expect(await stateOf(store, claim)).toEqual(['done', 0])
      })
    })

    test('a commit whose answer is lost is unknown, and its repetition has no second effect', async () => {
      const proxy = await FaultProxy.open(server.url)
      const behind = mysql.createPool(proxy.url)
      // All that goes before the COMMIT is answered; its own answer is not.
      let commits = 0
      const pool = poolBefore(behind, (sql) => {
        if (/\bCOMMIT\b/.test(sql) && (commits += 1) === 1) proxy.swallowReplies()
      })
      const store = await open({ pool, timeoutMs: 500 })
      const claim = await granted(store)
      const committing = attempt(store, claim)
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
      const killed = async (tx: PoolConnection) => {
        await pool.query(`KILL ${tx.threadId}`)
      }
      // Unknown if the COMMIT was on its way by the time at which this side learned of it.
      const isInSteps = name === 'mysql-8.0' && !how.multipleStatements
      const codes = isInSteps ? /^ONCEMQ_STORE_UNAVAILABLE$/ : /^ONCEMQ_(?:STORE_UNAVAILABLE|COMMIT_UNKNOWN)$/
      expect(await attempt(store, claim, killed)).toMatch(codes)
      expect(await stateOf(store, claim)).toEqual(['running', 0])
      expect(await attempt(store, claim)).toBe('ok')
    })

    test('handlers that wait for their turn leave connections for claims and renewals', async () => {
      const small = mysql.createPool({ uri: server.url, connectionLimit: 4 })
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
      const hasty = new MysqlStore({ url: server.url, table: NAME })
      const opening = hasty.open()
      await hasty.close()
      await opening.catch(() => undefined)
      await expect(hasty.claim([claimOf()])).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
      await hasty.open()
      expect((await hasty.claim([claimOf()]))[0]?.status).toBe('granted')
      await hasty.close()
    })
  })
}
