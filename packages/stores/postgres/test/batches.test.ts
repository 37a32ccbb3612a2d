import { PostgresStore } from '@oncemq/postgres'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import { newHex } from '@oncemq/test-stores'
import { outcomesInBatch, testBatches } from '@oncemq/test-stores/batches'
import type { BatchScene } from '@oncemq/test-stores/batches'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'

describeService('postgres-18', (server) => {
  const admin = new pg.Pool({ connectionString: server.url, max: 2 })
  beforeAll(async () => {
    await admin.query(`CREATE OR REPLACE FUNCTION batch_conflict() RETURNS void LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$`)
  })
  afterAll(() => admin.end())

  async function open(options?: string): Promise<BatchScene<pg.PoolClient>> {
    const table = `batch_${newHex()}`
    await admin.query(`CREATE TABLE ${table}_effects (name text PRIMARY KEY,
      other text REFERENCES ${table}_effects DEFERRABLE INITIALLY DEFERRED)`)
    const proxy = await FaultProxy.open(server.url)
    const pool = new pg.Pool({ connectionString: proxy.url, max: 8, options })
    pool.on('error', () => undefined)
    let cutsAtCommit = false
    pool.on('connect', (client) => {
      const query = client.query.bind(client) as (...args: unknown[]) => unknown
      client.query = ((...args: unknown[]) => {
        const [first] = args as [string | { text: string }]
        if (cutsAtCommit && (typeof first === 'string' ? first : first.text).endsWith('COMMIT')) {
          cutsAtCommit = false
          proxy.cutReplyAfter(1)
        }
        return query(...args)
      }) as typeof client.query
    })
    const store = new PostgresStore<pg.PoolClient>({ pool, table, timeoutMs: 1000 })
    await store.open()
    const insert = (tx: pg.PoolClient, name: string, other?: string) =>
      tx.query(`INSERT INTO ${table}_effects VALUES ($1, $2)`, [name, other])
    return {
      store,
      write: (tx, name) => insert(tx, name),
      commit: (tx) => tx.query('COMMIT'),
      stall: (tx) => tx.query('SELECT pg_sleep(60)'),
      spoil: (tx) => insert(tx, 'spoilt', 'missing'),
      cut: () => proxy.cutReplyAfter(1),
      cutAtCommit: () => void (cutsAtCommit = true),
      async effects() {
        const { rows } = await admin.query<{ name: string }>(`SELECT name FROM ${table}_effects ORDER BY 1`)
        return rows.map(({ name }) => name)
      },
      async close() {
        await store.close()
        await pool.end()
        await proxy.close()
      },
    }
  }

  testBatches(() => open())

  const inBatch = async (
    first: (tx: pg.PoolClient) => Promise<unknown>,
    second: (tx: pg.PoolClient) => Promise<unknown>,
    options?: string,
  ) => outcomesInBatch(await open(options), first, second)

  test.each([
    ['SET LOCAL', "SET LOCAL application_name = 'first'"],
    ['set_config', "SELECT set_config('application_name', 'first', true)"],
    ['SET', "SET application_name = 'first'"],
    ['a temporary table', 'CREATE TEMP TABLE left_over (id integer) ON COMMIT DROP'],
    ['a cursor', 'DECLARE left_over CURSOR FOR SELECT 1'],
    ['SET CONSTRAINTS', 'SET CONSTRAINTS ALL IMMEDIATE'],
  ])('what one handler leaves by %s is not there for the next one of its batch', async (_, statement) => {
    const seen: unknown[] = []
    const look = async (tx: pg.PoolClient) => {
      const { rows } = await tx.query(`SELECT current_setting('application_name') AS name,
        (SELECT count(*)::integer FROM pg_cursors WHERE name = 'left_over') AS cursors,
        to_regclass('pg_temp.left_over')::text AS temporary`)
      seen.push(...(rows as unknown[]))
    }
    expect(await inBatch((tx) => tx.query(statement), look)).toEqual(['completed', 'completed'])
    expect(seen).toEqual([{ name: '', cursors: 0, temporary: null }])
  })

  test('waits for locks are as the session has them for each handler of a batch', async () => {
    const seen: unknown[] = []
    const look = async (tx: pg.PoolClient) => {
      const { rows } = await tx.query("SELECT current_setting('lock_timeout') AS wait")
      seen.push(...(rows as unknown[]))
    }
    expect(await inBatch(look, look)).toEqual(['completed', 'completed'])
    expect(await inBatch(look, look, '-c lock_timeout=7s')).toEqual(['completed', 'completed'])
    expect(seen).toEqual([{ wait: '0' }, { wait: '0' }, { wait: '7s' }, { wait: '7s' }])
  })

  test('a handler that rolls all back and throws has failed, and those beside it have not', async () => {
    const rollingBack = async (tx: pg.PoolClient) => {
      await tx.query('ROLLBACK')
      throw new Error('the handler failed')
    }
    expect(await inBatch(async () => undefined, rollingBack)).toEqual(['completed', 'failed'])
    expect(await inBatch(rollingBack, async () => undefined)).toEqual(['failed', 'completed'])
  })

  test('a conflict that a handler keeps quiet about is a conflict: it is run again, by itself', async () => {
    let conflicts = 1
    const quiet = async (tx: pg.PoolClient) => {
      if (conflicts-- > 0) await tx.query('SELECT batch_conflict()').catch(() => undefined)
    }
    expect(await inBatch(quiet, async () => undefined)).toEqual(['completed', 'completed'])
    expect(conflicts).toBe(-1)
  })
})
