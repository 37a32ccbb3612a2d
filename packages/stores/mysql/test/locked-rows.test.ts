import { MysqlStore } from '@oncemq/mysql'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import { claimOf, completionOf } from '@oncemq/test-stores'
import { BOUND } from '@oncemq/test-stores/load'
import mysql from 'mysql2/promise'
import type { PoolConnection, RowDataPacket } from 'mysql2/promise'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { poolBefore } from './database.ts'

const TABLE = 'locked_rows'
const LONG_MS = 1500

/** With what code a transaction ends whose server is gone: MariaDB completes and commits by one message. */
const SERVERS = [
  ['mysql-8.0', 'ONCEMQ_STORE_TIMEOUT'],
  ['mariadb-11.8', 'ONCEMQ_COMMIT_UNKNOWN'],
] as const

for (const [name, code] of SERVERS) {
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
          if (/\bCOMMIT\b/.test(sql)) proxy.vanish()
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
        await expect(gone).rejects.toMatchObject({ code })
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
