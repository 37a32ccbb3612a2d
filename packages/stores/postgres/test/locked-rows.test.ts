import { PostgresStore } from '@oncemq/postgres'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import { claimOf, claimsOf, completionOf } from '@oncemq/test-stores'
import { BOUND } from '@oncemq/test-stores/load'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

const TABLE = 'locked_rows'

describeService('postgres-18', (server) => {
  const pool = new pg.Pool({ connectionString: server.url, max: 12 })
  const store = new PostgresStore({ pool, table: TABLE })
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
  async function locking(statement: string): Promise<{ end(): Promise<void> }> {
    const client = new pg.Client(server.url)
    await client.connect()
    await client.query(`BEGIN; ${statement}`)
    ends.push(() => client.end())
    return { end: async () => void (await client.query('ROLLBACK')) }
  }

  async function waiting(): Promise<number | null> {
    const { rowCount } = await pool.query(
      `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%${TABLE}%'`,
    )
    return rowCount
  }

  test('what is given up leaves nobody waiting on the server', async () => {
    const hasty = new PostgresStore({ url: server.url, table: TABLE, timeoutMs: 1000 })
    await hasty.open()
    ends.push(() => hasty.close())
    await locking(`LOCK TABLE ${TABLE}`)
    for (let call = 0; call < 3; call += 1) {
      await expect(hasty.claim(claimsOf(2))).rejects.toMatchObject({ code: 'ONCEMQ_STORE_TIMEOUT' })
    }
    // The table stays locked: they end because they were told.
    await expect.poll(waiting, BOUND).toBe(0)
  })

  describe('of a worker whose host vanishes', () => {
    /** A store behind a proxy, whose pool does `act` before each statement. */
    async function worker(act: (sql: string, proxy: FaultProxy) => void, transactionIdleMs?: number) {
      const proxy = await FaultProxy.open(server.url)
      const behind = new pg.Pool({ connectionString: proxy.url })
      behind.on('error', () => undefined)
      behind.on('connect', (client) => {
        const query = client.query.bind(client) as (...given: unknown[]) => unknown
        Object.assign(client, {
          query(...given: [{ text: string }]) {
            act(given[0].text, proxy)
            return query(...given)
          },
        })
      })
      const options = { pool: behind, table: TABLE, timeoutMs: 500 }
      const vanishing = new PostgresStore<pg.PoolClient>(
        transactionIdleMs === undefined ? options : { ...options, transactionIdleMs },
      )
      await vanishing.open()
      ends.push(async () => {
        await vanishing.close()
        await behind.end()
        await proxy.close()
      })
      return { vanishing, proxy }
    }

    test('before its COMMIT the record is free for others', async () => {
      const { vanishing } = await worker((sql, proxy) => {
        if (sql.endsWith('COMMIT')) proxy.vanish()
      })
      const claim = claimOf({ leaseMs: 1 })
      await vanishing.claim([claim])
      const gone = vanishing.transaction(async () => completionOf(claim))
      await expect(gone).rejects.toMatchObject({ code: 'ONCEMQ_COMMIT_UNKNOWN' })
      const rival = claimOf({ id: claim.id })
      await expect.poll(async () => (await store.claim([rival]))[0]?.status, BOUND).toBe('granted')
    })

    test('in its handler, the locks of its own rows are too', async () => {
      await pool.query('CREATE TABLE vanished (id integer PRIMARY KEY); INSERT INTO vanished VALUES (1)')
      const { vanishing, proxy } = await worker(() => undefined, 1000)
      const claim = claimOf()
      await vanishing.claim([claim])
      const gone = vanishing.transaction(async (tx) => {
        await tx.query('DELETE FROM vanished')
        proxy.vanish()
        return completionOf(claim)
      })
      await expect(gone).rejects.toMatchObject({ code: 'ONCEMQ_COMMIT_UNKNOWN' })
      await pool.query(`BEGIN; SET LOCAL lock_timeout = '10s'; DELETE FROM vanished; COMMIT`)
      expect((await pool.query('SELECT FROM vanished')).rowCount).toBe(0)
    })
  })

  test('a handler that leaves its transaction alone for too long has failed', async () => {
    const strict = new PostgresStore({ pool, table: TABLE, transactionIdleMs: 1000 })
    await strict.open()
    const claim = claimOf()
    await strict.claim([claim])
    const idle = strict.transaction(async (tx) => {
      await tx.query({ text: 'SELECT 1' })
      await new Promise((resolve) => setTimeout(resolve, 1500))
      return completionOf(claim)
    })
    await expect(idle).rejects.toMatchObject({ code: 'ONCEMQ_HANDLER_TIMEOUT' })
    const { rows } = await pool.query(`SELECT current_setting('idle_in_transaction_session_timeout') AS now`)
    expect(rows).toEqual([{ now: '0' }])
    await strict.close()
  })
})
