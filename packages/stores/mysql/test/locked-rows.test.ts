import type { ClaimRequest } from '@oncemq/core/store'
import { MysqlStore } from '@oncemq/mysql'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import { claimOf, claimsOf, completionOf, newHex } from '@oncemq/test-stores'
import { BOUND } from '@oncemq/test-stores/load'
import mysql from 'mysql2/promise'
import type { PoolConnection, RowDataPacket } from 'mysql2/promise'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { poolBefore } from './database.ts'

const TABLE = 'locked_rows'
const OTHERS = 40
const ROUNDS = 40
/** Long before the store would give up. */
const SOON_MS = 2500
const LONG_MS = 1500

for (const name of ['mysql-8.0', 'mariadb-11.8'] as const) {
  describeService(name, (server) => {
    const pool = mysql.createPool({ uri: server.url, connectionLimit: 12 })
    const store = new MysqlStore({ pool, table: TABLE })
    const ends: (() => Promise<unknown>)[] = []

    beforeAll(() => store.open())
    afterEach(async () => {
      for (const end of ends.splice(0).toReversed()) await end()
    })
    afterAll(async () => {
      await store.close()
      await pool.end()
    })

    /** A transaction of somebody else, which ends with the test at the latest. */
    async function locking(...statements: string[]): Promise<{ end(): Promise<void> }> {
      const connection = await mysql.createConnection(server.url)
      await connection.beginTransaction()
      for (const statement of statements) await connection.query(statement)
      ends.push(() => connection.end())
      return { end: () => connection.rollback() }
    }

    const change = (id: string): string => `UPDATE ${TABLE} SET result = 'x' WHERE id = X'${id}'`
    const remove = (id: string): string => `DELETE FROM ${TABLE} WHERE id = X'${id}'`
    const insert = (id: string): string =>
      `INSERT INTO ${TABLE} (id, state, claim_id, epoch, attempts, lease_until, expires_at)
       VALUES (X'${id}', 1, X'${id}', 1, 1, 0, 0)`

    /** A record whose lease is over, so that it could be taken if it were not locked. */
    async function lapsed(given: Partial<ClaimRequest> = {}) {
      const claim = claimOf({ leaseMs: 1, ...given })
      await store.claim([claim])
      await expect.poll(async () => (await store.inspect([claim.id]))[0]?.leaseRemainingMs).toBeLessThan(0)
      return claim
    }

    async function waiting(): Promise<number> {
      const [rows] = await pool.query<RowDataPacket[]>(
        `SELECT info FROM information_schema.processlist
         WHERE id <> CONNECTION_ID() AND (info LIKE '%${TABLE}%' OR info LIKE '%vanished%')`,
      )
      return rows.length
    }

    async function timed<Answer>(call: () => Promise<Answer>): Promise<[Answer, number]> {
      const startMs = performance.now()
      return [await call(), performance.now() - startMs]
    }

    describe('a claim of a locked record is busy, and the others of its batch do not wait', () => {
      test.each<[string, (id: string) => string[]]>([
        ['that was changed', (id) => [change(id)]],
        ['that was removed', (id) => [remove(id)]],
        ['that is being inserted', (id) => [remove(id), insert(id)]],
      ])('%s', async (_what, statementsOf) => {
        const victim = await lapsed()
        const lock = await locking(...statementsOf(victim.id))
        const rival = claimOf({ id: victim.id })
        const [[lone], loneMs] = await timed(() => store.claim([rival]))
        expect(lone?.status).toBe('busy')
        const others = claimsOf(OTHERS)
        const batch = [...others.slice(7), rival, ...others.slice(0, 7)]
        const [answers, batchMs] = await timed(() => store.claim(batch))
        expect(answers.map(({ status }) => status)).toEqual(
          batch.map((claim) => (claim === rival ? 'busy' : 'granted')),
        )
        expect([loneMs < SOON_MS, batchMs < SOON_MS]).toEqual([true, true])
        expect(await waiting()).toBe(0)
        await lock.end()
        expect(await store.claim([rival])).toEqual([{ status: 'granted', epoch: 2, attempt: 2 }])
      })

      test('however many are locked', async () => {
        const victims = await Promise.all(Array.from({ length: OTHERS }, () => lapsed()))
        const lock = await locking(...victims.map(({ id }) => change(id)))
        const rivals = victims.flatMap(({ id }) => [claimOf({ id }), claimOf()])
        const [answers, batchMs] = await timed(() => store.claim(rivals))
        expect(answers.map(({ status }) => status)).toEqual(victims.flatMap(() => ['busy', 'granted']))
        expect(batchMs).toBeLessThan(SOON_MS)
        await lock.end()
      })

      test('that is known to be locked: the others do not wait at all', async () => {
        const victim = await lapsed()
        const lock = await locking(change(victim.id))
        const rival = claimOf({ id: victim.id })
        await store.claim([rival])
        const [, allMs] = await timed(async () => {
          for (let round = 0; round < ROUNDS; round += 1) {
            const answers = await store.claim([claimOf(), rival, claimOf()])
            expect(answers.map(({ status }) => status)).toEqual(['granted', 'busy', 'granted'])
          }
        })
        expect(allMs).toBeLessThan(SOON_MS)
        await lock.end()
        expect((await store.claim([claimOf(), rival])).map(({ status }) => status)).toEqual([
          'granted',
          'granted',
        ])
      })

      test('and of another payload they stay conflicts', async () => {
        const [victim, other] = [await lapsed(), await lapsed({ fingerprint: newHex() })]
        const lock = await locking(change(victim.id))
        const rivals = [claimOf({ id: victim.id }), claimOf({ id: other.id, fingerprint: newHex() })]
        expect((await store.claim(rivals)).map(({ status }) => status)).toEqual(['busy', 'conflict'])
        expect((await store.inspect([other.id]))[0]).toMatchObject({
          epoch: 1,
          fingerprint: other.fingerprint,
        })
        await lock.end()
      })

      test('whose first insert is not committed', async () => {
        const rival = claimOf()
        const lock = await locking(insert(rival.id))
        const others = claimsOf(OTHERS)
        const [answers, batchMs] = await timed(() => store.claim([...others, rival]))
        expect(answers.map(({ status }) => status)).toEqual([...others.map(() => 'granted'), 'busy'])
        expect(batchMs).toBeLessThan(SOON_MS)
        await lock.end()
        expect(await store.claim([rival])).toEqual([{ status: 'granted', epoch: 1, attempt: 1 }])
      })
    })

    test('updates with a locked record fail soon, and each half goes by itself', async () => {
      const claims = claimsOf(3)
      await store.claim(claims)
      const [victim, ...others] = claims as [(typeof claims)[0], ...typeof claims]
      const lock = await locking(change(victim.id))
      const batch = claims.map(completionOf)
      const renewals = batch.map((update) => ({ ...update, op: 'renew' as const, leaseMs: 60_000 }))
      for (const updates of [batch, renewals]) {
        const [failure, tookMs] = await timed(() => store.update(updates).catch((error: unknown) => error))
        expect(failure).toMatchObject({ code: 'ONCEMQ_STORE_TIMEOUT', retryable: true })
        expect(tookMs).toBeLessThan(SOON_MS)
        expect(await waiting()).toBe(0)
      }
      expect(await store.update(others.map(completionOf))).toEqual(['ok', 'ok'])
      await lock.end()
      expect(await store.update(batch)).toEqual(['ok', 'ok', 'ok'])
    })

    test('what is given up leaves nobody waiting on the server', async () => {
      const proxy = await FaultProxy.open(server.url)
      const hasty = new MysqlStore({ url: proxy.url, table: TABLE, timeoutMs: 1000 })
      await hasty.open()
      ends.push(async () => {
        await hasty.close()
        await proxy.close()
      })
      const claim = claimOf()
      await hasty.claim([claim])
      await locking(change(claim.id))
      // Nothing can be told to the server at first.
      proxy.swallowReplies()
      await expect(hasty.update([completionOf(claim)])).rejects.toMatchObject({
        code: 'ONCEMQ_STORE_TIMEOUT',
      })
      proxy.resume()
      await expect(hasty.update([completionOf(claim)])).rejects.toMatchObject({
        code: 'ONCEMQ_STORE_TIMEOUT',
      })
      await expect.poll(waiting, BOUND).toBe(0)
    })

    describe('of a worker whose host vanishes', () => {
      /** A store behind a proxy, whose pool does `act` before each statement. */
      async function worker(act: (sql: string, proxy: FaultProxy) => void) {
        const proxy = await FaultProxy.open(server.url)
        const behind = mysql.createPool(proxy.url)
        const noting = poolBefore(behind, (sql) => act(sql, proxy))
        const vanishing = new MysqlStore<PoolConnection>({
          pool: noting,
          table: TABLE,
          timeoutMs: 500,
          transactionIdleMs: 1000,
        })
        await vanishing.open()
        ends.push(async () => {
          await vanishing.close()
          await behind.end()
          await proxy.close()
        })
        return { vanishing, proxy }
      }

      test('before its COMMIT the record is free for others soon', async () => {
        const { vanishing } = await worker((sql, proxy) => {
          if (sql === 'COMMIT') proxy.vanish()
        })
        const claim = claimOf({ leaseMs: 1 })
        await vanishing.claim([claim])
        const gone = vanishing.transaction(async () => completionOf(claim))
        await expect(gone).rejects.toMatchObject({ code: 'ONCEMQ_COMMIT_UNKNOWN' })
        const rival = claimOf({ id: claim.id })
        await expect.poll(async () => (await store.claim([rival]))[0]?.status, BOUND).toBe('granted')
      })

      test('in its handler, the locks of its own rows are too', async () => {
        await pool.query('CREATE TABLE vanished (id INT PRIMARY KEY)')
        await pool.query('INSERT INTO vanished VALUES (1)')
        const { vanishing, proxy } = await worker(() => undefined)
        const claim = claimOf()
        await vanishing.claim([claim])
        const gone = vanishing.transaction(async (tx) => {
          await tx.query('DELETE FROM vanished')
          proxy.vanish()
          return completionOf(claim)
        })
        await expect(gone).rejects.toMatchObject({ code: 'ONCEMQ_STORE_TIMEOUT' })
        const [, tookMs] = await timed(() => pool.query('DELETE FROM vanished'))
        expect(tookMs).toBeLessThan(10_000)
      })
    })

    test('a handler that leaves its transaction alone for too long has failed', async () => {
      const single = mysql.createPool({ uri: server.url, connectionLimit: 1 })
      const strict = new MysqlStore({ pool: single, table: TABLE, transactionIdleMs: 1000 })
      await strict.open()
      const claim = claimOf()
      await strict.claim([claim])
      const setting = name === 'mysql-8.0' ? '@@wait_timeout' : '@@idle_transaction_timeout'
      const current = async (): Promise<unknown> => {
        const [rows] = await single.query<RowDataPacket[]>(`SELECT ${setting} AS seconds`)
        return rows[0]?.['seconds']
      }
      const before = await current()
      let inside: unknown
      const idle = strict.transaction(async (tx) => {
        const [rows] = (await (tx as unknown as PoolConnection).query(
          `SELECT ${setting} AS seconds`,
        )) as unknown as [RowDataPacket[]]
        inside = rows[0]?.['seconds']
        await new Promise((resolve) => setTimeout(resolve, LONG_MS))
        return completionOf(claim)
      })
      await expect(idle).rejects.toMatchObject({ code: 'ONCEMQ_HANDLER_TIMEOUT' })
      expect(await strict.transaction(async () => completionOf(claim))).toBe('ok')
      // The session is its owner's again.
      expect([inside, await current()]).toEqual([1, before])
      await strict.close()
      await single.end()
    })
  })
}
