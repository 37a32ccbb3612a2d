import { deferred } from '@oncemq/core/store'
import type { BatchingStore, UpdateAnswer } from '@oncemq/core/store'
import { MysqlStore } from '@oncemq/mysql'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import { claimsOf, completionOf, newHex } from '@oncemq/test-stores'
import { outcomesInBatch, testBatches } from '@oncemq/test-stores/batches'
import type { BatchScene } from '@oncemq/test-stores/batches'
import mysql from 'mysql2/promise'
import type { PoolConnection, RowDataPacket } from 'mysql2/promise'
import { afterAll, describe, expect, test } from 'vitest'

interface Raw {
  query(sql: string, callback: (error: unknown) => void): unknown
}

/** Statement by statement, several as one by the pool's setting, and as a compound statement. */
const WAYS = [
  ['mysql-8.0', false],
  ['mysql-8.0', true],
  ['mariadb-11.8', false],
] as const

for (const [name, multipleStatements] of WAYS) {
  describeService(name, (server) => {
    const admin = mysql.createPool({ uri: server.url, connectionLimit: 2 })
    afterAll(() => admin.end())
    /** The driver's own connections, by the server's number of each. */
    const raw = new Map<number, Raw>()

    async function open(): Promise<BatchScene<PoolConnection>> {
      const table = `batch_${newHex()}`
      await admin.query(`CREATE TABLE ${table}_effects (name VARCHAR(40) PRIMARY KEY)`)
      const proxy = await FaultProxy.open(server.url)
      const pool = mysql.createPool({ uri: proxy.url, connectionLimit: 8, multipleStatements })
      let cutsAtCommit = false
      pool.pool.on('connection', (connection) => {
        raw.set(connection.threadId as number, connection as unknown as Raw)
        const query = connection.query.bind(connection) as (...args: unknown[]) => unknown
        connection.query = ((...args: unknown[]) => {
          const [first] = args as [string | { sql: string }]
          if (cutsAtCommit && /COMMIT/.test(typeof first === 'string' ? first : first.sql)) {
            cutsAtCommit = false
            proxy.cutReplyAfter(1)
          }
          return query(...args)
        }) as typeof connection.query
      })
      const store = new MysqlStore<PoolConnection>({ pool, table, timeoutMs: 1000 })
      await store.open()
      return {
        store,
        write: (tx, effect) => tx.query(`INSERT INTO ${table}_effects VALUES (?)`, [effect]),
        commit: (tx) => tx.query('COMMIT'),
        stall: (tx) => tx.query('SELECT SLEEP(60)'),
        cut: () => proxy.cutReplyAfter(1),
        cutAtCommit: () => void (cutsAtCommit = true),
        async effects() {
          const [rows] = await admin.query<RowDataPacket[]>(`SELECT name FROM ${table}_effects ORDER BY name`)
          return rows.map((row) => row['name'] as string)
        },
        async close() {
          await store.close()
          await pool.end()
          await proxy.close()
        },
      }
    }

    describe(multipleStatements ? 'several statements as one' : 'as the server takes them', () => {
      testBatches(open)

      const inBatch = async (
        first: (tx: PoolConnection) => Promise<unknown>,
        second: (tx: PoolConnection) => Promise<unknown>,
      ) => outcomesInBatch(await open(), first, second)

      test.each([
        ['a setting', "SET @@SESSION.sql_mode = 'ANSI'"],
        ['a variable', "SET @mine = 'first'"],
        ['a temporary table', 'CREATE TEMPORARY TABLE left_over (id INT)'],
        ['its lock waits', 'SET @@SESSION.innodb_lock_wait_timeout = 7'],
      ])('what one handler leaves by %s is not there for the next one of its batch', async (_, statement) => {
        const seen: unknown[] = []
        const look = async (tx: PoolConnection) => {
          const [rows] = await tx.query<RowDataPacket[]>(
            `SELECT @@sql_mode LIKE 'ANSI%' AS mode, @mine AS mine, @@innodb_lock_wait_timeout AS wait`,
          )
          await expect(tx.query('SELECT * FROM left_over')).rejects.toThrow(/doesn't exist/)
          seen.push(...rows)
        }
        expect(await inBatch((tx) => tx.query(statement), look)).toEqual(['completed', 'completed'])
        expect(await inBatch(look, look)).toEqual(['completed', 'completed'])
        const fresh = { mode: 0, mine: null, wait: 50 }
        expect(seen).toEqual([fresh, fresh, fresh])
      })

      test('a statement that commits by itself is told to its handler alone', async () => {
        const table = `ddl_${newHex()}`
        const creating = (tx: PoolConnection) => tx.query(`CREATE TABLE ${table} (id INT)`)
        const [first, second] = await inBatch(async () => undefined, creating)
        expect([first === 'completed' || first === 'store-down', second]).toEqual([true, 'final'])
      })

      test('a lost claim of a handler that has set something is rolled back alone', async () => {
        const scene = await open()
        const claims = claimsOf(2)
        await scene.store.claim(claims)
        const works = claims.map((claim, at) => async (tx: PoolConnection) => {
          if (at === 1) await tx.query('SET @mine = 1')
          await scene.write(tx, `effect-${at}`)
          return { ...completionOf(claim), ...(at === 1 && { claimId: newHex() }) }
        })
        const members = works.map((work) => ({ work, signal: undefined, ...deferred<UpdateAnswer>() }))
        let begun = 0
        await (scene.store as BatchingStore<PoolConnection>).transactions(() => members[begun++])
        expect(await Promise.all(members.map(({ promise }) => promise))).toEqual(['ok', 'lost'])
        expect(await scene.effects()).toEqual(['effect-0'])
        await scene.close()
      })

      test('a COMMIT behind the back of the store is told to its handler alone', async () => {
        const ending = (tx: PoolConnection) =>
          new Promise((resolve) => raw.get(tx.threadId as number)?.query('COMMIT', resolve))
        const [first, second] = await inBatch(async () => undefined, ending)
        expect([first === 'completed' || first === 'store-down', second]).toEqual([true, 'final'])
      })

      test('a deadlock takes all of a batch back, and each runs again by itself', async () => {
        let conflicts = 1
        const table = `deadlock_${newHex()}`
        await admin.query(`CREATE TABLE ${table} (id INT PRIMARY KEY)`)
        await admin.query(`INSERT INTO ${table} VALUES (1), (2)`)
        const lock = (tx: { query(sql: string): Promise<unknown> }, id: number) =>
          tx.query(`SELECT * FROM ${table} WHERE id = ${id} FOR UPDATE`)
        const meeting = async (tx: PoolConnection) => {
          if (conflicts-- <= 0) return
          const other = await admin.getConnection()
          await other.beginTransaction()
          // It has written more, so that the batch is what the server gives up.
          await other.query(`INSERT INTO ${table} VALUES (3), (4), (5), (6), (7), (8)`)
          await lock(other, 1)
          await lock(tx, 2)
          const waiting = lock(other, 2)
          // Kept quiet about, so that the next statement would commit by itself.
          await lock(tx, 1).catch(() => undefined)
          await waiting
          await other.rollback()
          other.release()
        }
        expect(await inBatch(async () => undefined, meeting)).toEqual(['completed', 'completed'])
      })
    })
  })
}
