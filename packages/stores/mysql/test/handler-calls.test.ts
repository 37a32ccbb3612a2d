import type { ClaimRequest, CompleteUpdate } from '@oncemq/core/store'
import { MysqlStore } from '@oncemq/mysql'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import { claimOf, completionOf } from '@oncemq/test-stores'
import type { Connection as CallbackConnection } from 'mysql2'
import mysql from 'mysql2/promise'
import type { PoolConnection, RowDataPacket } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { databaseOf } from './database.ts'
import { HandlerCalls } from '../src/handler-calls.ts'

const NAME = 'calling'

type Tx = PoolConnection

describe('what a statement does to its transaction and session', () => {
  const told = (sql: string): string => {
    const calls = new HandlerCalls()
    calls.sent('query', [{ sql }])
    const seen = [calls.mayHaveEnded && 'ends', calls.hasSet && 'sets', calls.hasCalled && 'calls']
    return seen.filter(Boolean).join(' and ')
  }

  test.each([
    ['COMMIT', 'ends'],
    [' \n-- why\n# not\n/* it * is */ commit work', 'ends'],
    ['/*!40101 COMMIT */', 'ends'],
    ["INSERT INTO a VALUES ('x'); COMMIT", 'ends'],
    ['START TRANSACTION', 'ends'],
    ['CREATE TABLE a (id INT)', 'ends'],
    ['DROP TABLE a', 'ends'],
    ['CREATE TEMPORARY TABLE a (id INT)', 'sets'],
    ['CREATE OR REPLACE TEMPORARY TABLE a (id INT)', 'sets'],
    ['SET timestamp = 1', 'sets'],
    ['/* x */ set @@autocommit = 0', 'sets'],
    ['USE other', 'sets'],
    ["SELECT GET_LOCK('a', 1)", 'sets'],
    ['SELECT id INTO @id FROM a', 'sets'],
    ['SELECT @`n` := @`n` + 1', 'sets'],
    ["SELECT @n, 'into @n', '@n := 1'", ''],
    ['/*M! COMMIT */', 'ends'],
    ['CALL `book`(1)', 'calls'],
    ["INSERT INTO a VALUES ('x; begin', \"y; commit\", 'it''s; call z')", ''],
    ['SELECT `a; set b` -- ; commit\n, 1 # ; begin\n, 2 /* ; use c */', ''],
    ["SELECT 'x', '; COMMIT", ''],
    ["SELECT 1 -- it's so\n; COMMIT", 'ends'],
    ["SELECT 1--'x'; COMMIT", 'ends'],
    // Whether that is a part of the text is a setting of the session.
    [String.raw`SELECT 'it\'; COMMIT -- '`, 'ends'],
    [String.raw`SELECT 'it\'s'; COMMIT`, 'ends'],
    [String.raw`SELECT 'a\\b; begin'`, ''],
    [`SELECT '${"\\'".repeat(100_000)}`, ''],
    [`SELECT ${"''".repeat(100_000)}`, ''],
    [`SELECT ${'/*'.repeat(100_000)}`, ''],
    ['UPDATE a SET b = 1', ''],
    ['SAVEPOINT commits', ''],
    ['ROLLBACK TO SAVEPOINT a', ''],
    ['INSERT INTO settings VALUES (1)', ''],
    [`SELECT ${' '.repeat(100_000)}`, ''],
    [`${' '.repeat(100_000)}x`, ''],
  ])('%.50s', (sql, expected) => expect(told(sql)).toBe(expected))
})

for (const name of ['mysql-8.0', 'mariadb-11.8'] as const) {
  describeService(name, (server) => {
    const { pool, effects, end } = databaseOf(server)
    const single = mysql.createPool({ uri: server.url, connectionLimit: 1, multipleStatements: true })
    const store = new MysqlStore<Tx>({ pool: single, table: NAME, transactionsMax: 1 })

    beforeAll(async () => {
      await effects.prepare?.(NAME)
      await store.open()
      await pool.query('CREATE PROCEDURE own_commit() BEGIN COMMIT; END')
      await pool.query('CREATE PROCEDURE own_time() BEGIN SET timestamp = 86400; END')
    })
    afterAll(async () => {
      await store.close()
      await single.end()
      await end()
    })

    /** Runs a handler that writes, does `more`, and completes; answers what came of it. */
    async function attempt(
      on: MysqlStore<Tx>,
      claim: ClaimRequest,
      more: (tx: Tx) => Promise<unknown>,
    ): Promise<unknown> {
      await store.claim([claim])
      const work = async (tx: Tx): Promise<CompleteUpdate> => {
        await effects.write(tx, NAME, claim.id)
        await more(tx)
        return completionOf(claim)
      }
      return on.transaction(work).catch((error: unknown) => error)
    }

    const ENDED = { code: 'ONCEMQ_TRANSACTION_ENDED', retryable: false }

    describe('a handler that commits by itself and then loses its connection must not run again', () => {
      const killed = async (tx: Tx): Promise<void> => {
        await pool.query(`KILL ${tx.threadId}`)
        await tx.query('SELECT SLEEP(5)').catch(() => undefined)
      }
      test.each<[string, (tx: Tx) => Promise<unknown>]>([
        ['COMMIT', (tx) => tx.query('COMMIT')],
        ['commit()', (tx) => tx.commit()],
        ['DDL', (tx) => tx.query('CREATE TABLE IF NOT EXISTS own_ddl (id INT)')],
        ['a procedure that commits', (tx) => tx.query('CALL own_commit()')],
        ['several statements', (tx) => tx.query('SELECT 1; COMMIT')],
        [
          'a callback',
          (tx) =>
            new Promise((resolve) => {
              const inner = tx.connection as unknown as CallbackConnection
              inner.query('CALL own_commit()', resolve)
            }),
        ],
      ])('by %s', async (_how, commit) => {
        for (const failure of [undefined, new Error('the handler failed')]) {
          const claim = claimOf()
          const answer = await attempt(store, claim, async (tx) => {
            await commit(tx)
            await killed(tx)
            if (failure !== undefined) throw failure
            await tx.query('SELECT 1')
          })
          expect(answer).toMatchObject(failure === undefined ? ENDED : { ...ENDED, cause: failure })
          expect(await effects.count(NAME, claim.id)).toBe(1)
        }
      })

      test('whether the answer came or not', async () => {
        const proxy = await FaultProxy.open(server.url)
        const behind = new MysqlStore<Tx>({ url: proxy.url, table: NAME, timeoutMs: 500 })
        await behind.open()
        const claim = claimOf()
        const answer = await attempt(behind, claim, async (tx) => {
          proxy.swallowReplies()
          const committing = tx.query('COMMIT')
          await expect.poll(() => effects.count(NAME, claim.id)).toBe(1)
          proxy.cut()
          await committing
        })
        expect(answer).toMatchObject(ENDED)
        await behind.close()
        await proxy.close()
      })

      test('while one that did not is run again, whatever it has called', async () => {
        const answer = await attempt(store, claimOf(), async (tx) => {
          await tx.query('CREATE TEMPORARY TABLE mine (id INT)')
          await tx.query('SELECT 1; SELECT 2')
          await killed(tx)
          await tx.query('SELECT 1')
        })
        expect(answer).toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE', retryable: true })
      })
    })

    describe('what a handler sets for its session', () => {
      test.each([
        'SET timestamp = 86400',
        "SET SESSION time_zone = '+09:00'",
        'SET autocommit = 0',
        "SET SESSION sql_mode = 'ANSI_QUOTES'",
        'CREATE TEMPORARY TABLE leftover (id INT)',
        'SELECT 7 INTO @leftover',
      ])('ends with its transaction: %s', async (statement) => {
        const claim = claimOf()
        let threadId: number | null = null
        const answer = await attempt(store, claim, async (tx) => {
          threadId = tx.threadId
          await tx.query(statement)
        })
        expect(answer).toBe('ok')
        // Neither the record's retention nor the next claim's lease goes by a clock of the handler's.
        const [record] = await store.inspect([claim.id])
        expect(record?.expiresInMs).toBeGreaterThan(claim.retentionMs / 2)
        const rival = claimOf({ leaseMs: 60_000 })
        expect(await store.claim([rival])).toMatchObject([{ status: 'granted' }])
        const [rows] = await single.query<RowDataPacket[]>(
          'SELECT CONNECTION_ID() AS id, @@autocommit AS autocommit, @@timestamp > 1000000 AS now',
        )
        expect(rows).toMatchObject([{ autocommit: 1, now: 1 }])
        expect(rows[0]?.['id']).not.toBe(threadId)
      })

      test.each([true, false])('is no time of a procedure, by several statements: %s', async (several) => {
        const own = mysql.createPool({ uri: server.url, connectionLimit: 1, multipleStatements: several })
        const on = new MysqlStore<Tx>({ pool: own, table: NAME, transactionsMax: 1 })
        await on.open()
        const claim = claimOf()
        expect(await attempt(on, claim, (tx) => tx.query('CALL own_time()'))).toBe('ok')
        const [record] = await store.inspect([claim.id])
        expect(record?.expiresInMs).toBeGreaterThan(claim.retentionMs / 2)
        const [rows] = await own.query<RowDataPacket[]>('SELECT @@timestamp > 1000000 AS now')
        expect(rows).toMatchObject([{ now: 1 }])
        await on.close()
        await own.end()
      })

      test('is nothing, as a rule, and the connection is kept', async () => {
        const threads = new Set<unknown>()
        for (let count = 0; count < 3; count += 1)
          await attempt(store, claimOf(), async (tx) => threads.add(tx.threadId))
        expect(threads.size).toBe(1)
      })
    })

    test('a handler that goes to another database has its record completed in that of the pool', async () => {
      await pool.query('CREATE DATABASE IF NOT EXISTS `el``se.where`')
      for (const target of ['`el``se.where`', 'information_schema']) {
        const claim = claimOf()
        const answer = await attempt(store, claim, (tx) => tx.query(`USE ${target}`))
        expect(answer).toBe('ok')
        expect(await store.inspect([claim.id])).toMatchObject([{ state: 'done' }])
        expect(await effects.count(NAME, claim.id)).toBe(1)
      }
    })

    test('a query that is left unread is the failure of its handler, and no outage', async () => {
      // Longer than the connection is asked for a last word: that must not take as long again, after which
      // the core would take it for an outage.
      const timeoutMs = 2500
      const impatient = new MysqlStore<Tx>({ url: server.url, table: NAME, timeoutMs })
      await impatient.open()
      const claim = claimOf()
      let endedMs = 0
      const answer = await attempt(impatient, claim, async (tx) => {
        endedMs = performance.now()
        const inner = tx.connection as unknown as CallbackConnection
        const rows = 'SELECT REPEAT("x", 1000) FROM information_schema.columns a, information_schema.tables b'
        inner.query(`${rows} LIMIT 100000`).stream({ highWaterMark: 1 }).pause()
      })
      expect(answer).toMatchObject({ code: 'ONCEMQ_HANDLER_TIMEOUT', retryable: false })
      expect(performance.now() - endedMs).toBeLessThan(1.75 * timeoutMs)
      expect(await effects.count(NAME, claim.id)).toBe(0)
      await impatient.close()
    })
  })
}
