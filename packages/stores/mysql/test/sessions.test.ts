import { createDeduplicator } from '@oncemq/core'
import { systemRandom } from '@oncemq/core/store'
import { MysqlStore } from '@oncemq/mysql'
import { describeService } from '@oncemq/test-services/vitest'
import callbacks from 'mysql2'
import type { Pool, PoolOptions, RowDataPacket } from 'mysql2/promise'
import { afterEach, describe, expect, test } from 'vitest'
import { claimOf, claimsOf, completionOf } from '@oncemq/test-stores'

const LEASE_MS = 60_000

for (const name of ['mysql-8.0', 'mariadb-11.8'] as const) {
  describeService(name, (server) => {
    const ends: (() => Promise<unknown>)[] = []
    afterEach(async () => {
      for (const end of ends.splice(0).toReversed()) await end()
    })

    /** A pool whose sessions begin with these statements. */
    function poolOf(options: PoolOptions = {}, statements: readonly string[] = []) {
      const inner = callbacks.createPool({ uri: server.url, ...options })
      inner.on('connection', (connection) => {
        for (const statement of statements) connection.query(statement)
      })
      const pool = inner.promise()
      ends.push(() => pool.end())
      return pool
    }

    async function opened(pool: Pool, table = 'sessions') {
      const store = new MysqlStore({ pool, table })
      const findings = await store.open()
      ends.push(() => store.close())
      return { store, findings }
    }

    /** Every operation once, with values that settings could change. */
    async function expectProtocol({ store }: Awaited<ReturnType<typeof opened>>): Promise<void> {
      const label = `it's "quoted", \\escaped\\ ?, :named, \u00e9 \u4e2d`
      const fingerprint = systemRandom().claimId()
      const result = Buffer.from([0, 39, 92, 63, 255])
      const [lone] = claimsOf(1, { label, fingerprint, leaseMs: LEASE_MS }) as [ReturnType<typeof claimOf>]
      const batch = [lone, ...claimsOf(5, { label, fingerprint })]
      expect(await store.claim([lone])).toEqual([{ status: 'granted', epoch: 1, attempt: 1 }])
      expect(await store.claim(batch)).toEqual(batch.map(() => ({ status: 'granted', epoch: 1, attempt: 1 })))
      const [busy] = await store.claim([claimOf({ id: lone.id })])
      expect(busy).toMatchObject({ status: 'busy', epoch: 1 })
      const { leaseRemainingMs } = busy as { leaseRemainingMs: number }
      expect(leaseRemainingMs).toBeGreaterThan(LEASE_MS - 20_000)
      expect(leaseRemainingMs).toBeLessThanOrEqual(LEASE_MS)
      const renewals = batch.map((claim) => ({
        ...completionOf(claim),
        op: 'renew' as const,
        leaseMs: LEASE_MS,
      }))
      // Twice the same values in the same millisecond, perhaps: found rows are then not changed rows.
      for (let count = 0; count < 20; count += 1) {
        expect(await store.update(renewals.slice(0, 1 + (count % 2)))).toEqual(
          count % 2 ? ['ok', 'ok'] : ['ok'],
        )
      }
      const updates = batch.map((claim) => ({ ...completionOf(claim), result }))
      const foreign = { ...completionOf(claimOf()), result }
      expect(await store.update([...updates, foreign])).toEqual([...updates.map(() => 'ok'), 'lost'])
      const rivals = batch.map(({ id }) => claimOf({ id }))
      expect(await store.claim(rivals)).toEqual(rivals.map(() => ({ status: 'done', fingerprint, result })))
      expect((await store.inspect([lone.id]))[0]).toMatchObject({ state: 'done', label, fingerprint, result })
      await store.forget(batch.map(({ id }) => id))
      expect(await store.inspect([lone.id])).toEqual([undefined])
      const dedup = createDeduplicator({ store, consumerGroup: 'sessions' })
      expect((await dedup.run(label + lone.id, () => 'once')).status).toBe('completed')
      expect((await dedup.run(label + lone.id, () => 'twice')).status).toBe('duplicate')
      await dedup.close()
      await store.open()
    }

    test.each<[string, PoolOptions]>([
      [
        'rows as arrays, numbers as strings',
        { rowsAsArray: true, supportBigNumbers: true, bigNumberStrings: true },
      ],
      [
        'dates as strings, decimals as numbers',
        { dateStrings: true, decimalNumbers: true, timezone: '+09:00' },
      ],
      ['placeholders by name', { namedPlaceholders: true, stringifyObjects: true }],
      [
        'a format of its own',
        { queryFormat: (sql, values) => (values ? callbacks.format(sql, values as string[]) : sql) },
      ],
      ['tables nested', { nestTables: true }],
      ['a cast of its own', { typeCast: () => 'cast' }],
      ['no cast', { typeCast: false }],
      ['no eval', { disableEval: true }],
      ['compression', { compress: true }],
      ['several statements at once', { multipleStatements: true }],
      ['changed rows instead of found ones', { flags: ['-FOUND_ROWS'] }],
      ['another character set', { charset: 'latin1' }],
      ['a reset at each release', { resetOnRelease: true }],
    ])('a pool with %s', async (_what, options) => {
      await expectProtocol(await opened(poolOf(options)))
    })

    test('a pool of callbacks', async () => {
      const pool = callbacks.createPool(server.url)
      const store = new MysqlStore({ pool, table: 'sessions' })
      await store.open()
      const claim = claimOf()
      await store.claim([claim])
      const answer = await store.transaction(async (tx) => {
        await tx.query('SELECT 1')
        return completionOf(claim)
      })
      expect(answer).toBe('ok')
      await store.close()
      await pool.promise().end()
    })

    test.each([
      ["sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PIPES_AS_CONCAT,IGNORE_SPACE,HIGH_NOT_PRECEDENCE'"],
      ["sql_mode = ''"],
      ["sql_mode = 'TRADITIONAL,NO_UNSIGNED_SUBTRACTION'"],
      ["time_zone = '+13:00'"],
      ["character_set_results = 'latin1', character_set_connection = 'latin1'"],
      [
        name === 'mysql-8.0'
          ? 'sql_safe_updates = 1, sql_require_primary_key = 1'
          : "sql_mode = 'SIMULTANEOUS_ASSIGNMENT,ORACLE'",
      ],
    ])('a session with %s', async (setting) => {
      await expectProtocol(await opened(poolOf({}, [`SET SESSION ${setting}`])))
    })

    test('time zones of sessions do not matter to each other', async () => {
      const west = await opened(poolOf({}, ["SET SESSION time_zone = '-12:00'"]))
      const east = await opened(poolOf({}, ["SET SESSION time_zone = '+13:00'"]))
      const claim = claimOf({ leaseMs: LEASE_MS })
      await west.store.claim([claim])
      const [record] = await east.store.inspect([claim.id])
      expect(record?.leaseRemainingMs).toBeGreaterThan(LEASE_MS - 20_000)
      expect(record?.leaseRemainingMs).toBeLessThanOrEqual(LEASE_MS)
    })

    describe('the isolation of a session', () => {
      test.each(['READ-UNCOMMITTED', 'REPEATABLE-READ', 'SERIALIZABLE'])('stays %s', async (level) => {
        const variable = name === 'mysql-8.0' ? 'transaction_isolation' : 'tx_isolation'
        const pool = poolOf({ connectionLimit: 1 }, [`SET SESSION ${variable} = '${level}'`])
        await expectProtocol(await opened(pool))
        const [rows] = await pool.query<RowDataPacket[]>(`SELECT @@${variable} AS level`)
        expect(rows).toEqual([{ level }])
      })

      test('read-only by default does not hinder batches', async () => {
        const pool = poolOf({ connectionLimit: 1 }, ['SET SESSION TRANSACTION READ WRITE'])
        const { store } = await opened(pool)
        await pool.query('SET SESSION TRANSACTION READ ONLY')
        expect((await store.claim(claimsOf(2))).map(({ status }) => status)).toEqual(['granted', 'granted'])
      })
    })

    describe('a connection that is not between transactions', () => {
      test('with a transaction left open is not used, and not committed either', async () => {
        const pool = poolOf({ connectionLimit: 1 })
        const { store } = await opened(pool)
        await pool.query('DROP TABLE IF EXISTS leaked')
        await pool.query('CREATE TABLE leaked (id INT)')
        for (const batch of [claimsOf(1), claimsOf(2)]) {
          const connection = await pool.getConnection()
          await connection.beginTransaction()
          await connection.query('INSERT INTO leaked VALUES (1)')
          connection.release()
          const failure = store.claim(batch)
          await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE', retryable: true })
          await expect(failure).rejects.toThrow(/transaction is open/)
          expect((await store.claim(batch)).every(({ status }) => status === 'granted')).toBe(true)
        }
        const [rows] = await pool.query<RowDataPacket[]>('SELECT COUNT(*) AS count FROM leaked')
        expect(rows).toEqual([{ count: 0 }])
      })

      test('nor takes a handler, whose START TRANSACTION would commit it', async () => {
        const pool = poolOf({ connectionLimit: 1 })
        const { store } = await opened(pool)
        const claim = claimOf()
        await store.claim([claim])
        const connection = await pool.getConnection()
        await connection.beginTransaction()
        connection.release()
        await expect(store.transaction(async () => completionOf(claim))).rejects.toMatchObject({
          code: 'ONCEMQ_STORE_UNAVAILABLE',
        })
        expect(await store.transaction(async () => completionOf(claim))).toBe('ok')
      })

      test('autocommit off is refused at open()', async () => {
        const pool = poolOf({ connectionLimit: 1 }, ['SET SESSION autocommit = 0'])
        await expect(new MysqlStore({ pool, table: 'sessions' }).open()).rejects.toThrow(/autocommit/)
      })
    })
  })
}
