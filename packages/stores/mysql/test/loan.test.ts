import type { ClaimRequest, CompleteUpdate } from '@oncemq/core/store'
import { MysqlStore } from '@oncemq/mysql'
import { describeService } from '@oncemq/test-services/vitest'
import { claimOf, completionOf } from '@oncemq/test-stores'
import { BOUND } from '@oncemq/test-stores/load'
import type { Connection as CallbackConnection } from 'mysql2'
import mysql from 'mysql2/promise'
import type { PoolConnection, RowDataPacket } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { databaseOf } from './database.ts'

const NAME = 'lent'
const DEADLOCK = "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213"

type Tx = PoolConnection

// What a handler may do with the connection that it is lent, and what becomes of it afterwards.
for (const name of ['mysql-8.0', 'mariadb-11.8'] as const) {
  describeService(name, (server) => {
    const { pool, effects, end } = databaseOf(server)
    const single = mysql.createPool({ uri: server.url, connectionLimit: 3 })
    const store = new MysqlStore<Tx>({ pool: single, table: NAME, transactionsMax: 1 })

    beforeAll(async () => {
      await effects.prepare?.(NAME)
      await store.open()
      await pool.query('CREATE TABLE stock (id INT PRIMARY KEY, left_over INT)')
      await pool.query('INSERT INTO stock VALUES (1, 9), (2, 9)')
    })
    afterAll(async () => {
      await store.close()
      await single.end()
      await end()
    })

    async function granted(): Promise<ClaimRequest> {
      const claim = claimOf()
      await store.claim([claim])
      return claim
    }

    /** Runs a handler that does `body` and completes; answers what came of it. */
    async function attempt(
      claim: ClaimRequest,
      body: (tx: Tx) => Promise<unknown>,
      signal?: AbortSignal,
    ): Promise<unknown> {
      const work = async (tx: Tx): Promise<CompleteUpdate> => {
        await body(tx)
        return completionOf(claim)
      }
      return store.transaction(work, signal).catch((error: unknown) => error)
    }

    const write = (tx: Tx, { id }: ClaimRequest) => effects.write(tx, NAME, id)

    async function stateOf({ id }: ClaimRequest) {
      return [(await store.inspect([id]))[0]?.state, await effects.count(NAME, id)]
    }

    test('what a handler leaves running writes nothing later, by callbacks neither', async () => {
      const claim = await granted()
      let inner: CallbackConnection | undefined
      // As libraries that take callbacks do.
      const answer = await attempt(claim, async (tx) => {
        inner = tx.connection as unknown as CallbackConnection
      })
      expect(answer).toBe('ok')
      const late = (): unknown => inner?.query(`INSERT INTO ${NAME}_effects VALUES (?)`, [claim.id])
      expect(late).toThrow(expect.objectContaining({ code: 'ONCEMQ_TRANSACTION_ENDED' }))
    })

    test('what a handler leaves unanswered for too long is its failure, not done without it', async () => {
      const impatient = new MysqlStore<Tx>({ pool: single, table: NAME, timeoutMs: 500 })
      await impatient.open()
      const claim = await granted()
      const work = async (tx: Tx): Promise<CompleteUpdate> => {
        await write(tx, claim)
        tx.query('SELECT SLEEP(60)').catch(() => undefined)
        return completionOf(claim)
      }
      const answer = await impatient.transaction(work).catch((error: unknown) => error)
      expect(answer).toMatchObject({ code: 'ONCEMQ_HANDLER_TIMEOUT', retryable: false })
      expect(await stateOf(claim)).toEqual(['running', 0])
      await impatient.close()
    })

    test.each(['release', 'end', 'destroy'] as const)('%s() is refused to a handler', async (method) => {
      const claim = await granted()
      const answer = await attempt(claim, async (tx) => {
        await write(tx, claim)
        const inner = tx.connection as unknown as CallbackConnection
        for (const each of [tx, inner]) {
          const call = Reflect.get(each, method) as () => unknown
          expect(() => void call()).toThrow('leaves the connection')
        }
        const prepared = await tx.prepare(`SELECT '${method}'`)
        await prepared.execute([])
        await prepared.close()
      })
      expect(answer).toBe('ok')
      expect(await stateOf(claim)).toEqual(['done', 1])
    })

    test('the connection is still what libraries take it for', async () => {
      const claim = await granted()
      const seen: unknown[] = []
      const answer = await attempt(claim, async (tx) => {
        seen.push(tx.on('drain', () => undefined) === tx, typeof tx.release, typeof tx.threadId)
        const inner = tx.connection as unknown as CallbackConnection
        await new Promise<void>((resolve) => {
          inner.query('SELECT 7 AS seven', (_error, rows) => resolve(void seen.push(rows)))
        })
        await new Promise<void>((resolve, reject) => {
          const query = inner.query('SELECT 8 AS eight')
          query.on('result', (row: unknown) => seen.push(row))
          query.on('end', () => resolve()).on('error', reject)
        })
        seen.push((await tx.execute('SELECT ? AS nine', ['9']))[0])
        const prepared = await tx.prepare('SELECT ? AS ten')
        seen.push((await prepared.execute(['10']))[0])
        await prepared.close()
      })
      expect(answer).toBe('ok')
      expect(seen).toEqual([
        true,
        'function',
        'number',
        [{ seven: 7 }],
        { eight: 8 },
        [{ nine: '9' }],
        [{ ten: '10' }],
      ])
    })

    test.each(['CREATE TABLE IF NOT EXISTS own_commit (id INT)'])(
      'a handler that runs %s and then throws is final',
      async (statement) => {
        const claim = await granted()
        const failure = new Error('too late')
        const answer = await attempt(claim, async (tx) => {
          await write(tx, claim)
          await tx.query(statement)
          throw failure
        })
        expect(answer).toMatchObject({ code: 'ONCEMQ_TRANSACTION_ENDED', retryable: false, cause: failure })
        expect(await stateOf(claim)).toEqual(['running', 1])
      },
    )

    describe("an error counts as the database's only if its driver made it here", () => {
      test('not one of another connection', async () => {
        let failure: unknown
        const answer = await attempt(await granted(), async () => {
          await pool.query(DEADLOCK).catch((error: unknown) => {
            failure = error
            throw error
          })
        })
        expect(failure).toMatchObject({ errno: 1213 })
        expect(answer).toBe(failure)
      })

      test('but its own, also behind others', async () => {
        const wrapped = async (tx: Tx) => {
          await tx.query(DEADLOCK).catch((cause: unknown) => {
            throw new Error('the order failed', { cause })
          })
        }
        expect(await attempt(await granted(), wrapped)).toMatchObject({ code: 'ONCEMQ_TRANSACTION_CONFLICT' })
      })

      test('a deadlock that is kept quiet has ended the transaction: nothing commits by itself', async () => {
        const claim = await granted()
        const other = await pool.getConnection()
        onTestFinished(async () => {
          await other.rollback()
          other.release()
        })
        await other.beginTransaction()
        // The server gives up the transaction that has changed less.
        for (let row = 0; row < 20; row += 1) await effects.write(other, NAME, 'ballast')
        await other.query('UPDATE stock SET left_over = 0 WHERE id = 1')
        let crossing: Promise<unknown> | undefined
        const answer = await attempt(claim, async (tx) => {
          await tx.query('UPDATE stock SET left_over = 1 WHERE id = 2')
          crossing = other.query('UPDATE stock SET left_over = 0 WHERE id = 2')
          await tx.query('UPDATE stock SET left_over = 1 WHERE id = 1').catch(() => undefined)
          await write(tx, claim)
        })
        expect(answer).toMatchObject({ code: 'ONCEMQ_TRANSACTION_CONFLICT', cause: { errno: 1213 } })
        expect(await stateOf(claim)).toEqual(['running', 0])
        await crossing
      })

      test("a lost connection is the store's fault, what the handler throws beside it is not", async () => {
        const ending = async (tx: Tx) => {
          await pool.query(`KILL ${tx.threadId}`)
          await tx.query('SELECT SLEEP(5)').catch(() => undefined)
        }
        const lost = await attempt(await granted(), async (tx) => {
          await ending(tx)
          await tx.query('SELECT 1').catch((cause: unknown) => {
            throw new Error('the order failed', { cause })
          })
        })
        expect(lost).toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE', retryable: true })
        const failure = new Error('refused')
        const refused = await attempt(await granted(), async (tx) => {
          await ending(tx)
          throw failure
        })
        expect(refused).toBe(failure)
      })
    })

    describe('a signal that aborts', () => {
      test.each(['that waits for a lock', 'that does nothing'])('ends a handler %s at once', async (what) => {
        const claim = await granted()
        const other = await pool.getConnection()
        onTestFinished(async () => {
          await other.rollback()
          other.release()
        })
        await other.beginTransaction()
        await other.query('UPDATE stock SET left_over = 0')
        const stop = new AbortController()
        const late = Promise.withResolvers<unknown>()
        const reached = Promise.withResolvers<void>()
        const hung = attempt(
          claim,
          async (tx) => {
            await write(tx, claim)
            stop.signal.addEventListener('abort', () =>
              setTimeout(() => void write(tx, claim).then(late.resolve, late.resolve), 20),
            )
            const locked = what === 'that waits for a lock' && tx.query('UPDATE stock SET left_over = 8')
            reached.resolve()
            await locked
            await new Promise(() => undefined)
          },
          stop.signal,
        )
        await reached.promise
        const reason = new Error('the handler is hung')
        stop.abort(reason)
        expect(await hung).toBe(reason)
        // Its place is free, its connection too, and nobody waits on the server any more.
        expect(await attempt(await granted(), (tx) => tx.query('SELECT 1'))).toBe('ok')
        const waiting = `SELECT id FROM information_schema.processlist WHERE info LIKE 'UPDATE stock%'`
        await expect.poll(async () => (await pool.query<RowDataPacket[]>(waiting))[0].length, BOUND).toBe(0)
        expect(await late.promise).toMatchObject({ code: 'ONCEMQ_TRANSACTION_ENDED' })
        expect(await stateOf(claim)).toEqual(['running', 0])
      })

      test('while it waits, after a COMMIT of its own, is told that: it must not run again', async () => {
        const claim = await granted()
        const stop = new AbortController()
        const hung = attempt(
          claim,
          async (tx) => {
            await write(tx, claim)
            await tx.query('COMMIT')
            setTimeout(() => stop.abort(new Error('the handler is hung')), 50)
            await tx.query('SELECT SLEEP(60)')
          },
          stop.signal,
        )
        expect(await hung).toMatchObject({ code: 'ONCEMQ_TRANSACTION_ENDED', retryable: false })
        expect(await stateOf(claim)).toEqual(['running', 1])
      })
    })

    test('no conflict has the statement of the handler in it', async () => {
      const failure = await attempt(await granted(), async (tx) => {
        await tx.query("SELECT 'secret'").then(() => tx.query(`${DEADLOCK}, MESSAGE_TEXT = 'x' /* secret */`))
      })
      const { cause } = failure as { cause: Error }
      expect(cause).toMatchObject({ errno: 1213 })
      expect(JSON.stringify([String(failure), String(cause), Object.entries(cause)])).not.toContain('secret')
    })
  })
}
