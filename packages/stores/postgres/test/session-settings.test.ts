import { PostgresStore } from '@oncemq/postgres'
import { describeService } from '@oncemq/test-services/vitest'
import { claimOf, completionOf } from '@oncemq/test-stores'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SessionTraces } from '../src/session-settings.ts'

function setsSession(query: unknown): boolean {
  const traces = new SessionTraces()
  traces.note([query])
  return traces.hasSet
}

describe('what a query does to its session', () => {
  test.each([
    'SET statement_timeout = 1',
    ' -- why\n/* it * is */ set search_path TO other',
    'SELECT 1; SET ROLE nobody',
    'SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY',
    'RESET ALL',
    'LISTEN orders',
    'PREPARE a AS SELECT 1',
    'DEALLOCATE ALL',
    'CREATE TEMP TABLE a (id int)',
    'CREATE TEMP TABLE a (id int); CREATE TEMP TABLE b (id int) ON COMMIT DROP',
    'CREATE OR REPLACE TEMPORARY VIEW a AS SELECT 1',
    'CREATE TABLE pg_temp.a (id int)',
    'SELECT * INTO TEMP TABLE a FROM b',
    'SELECT 1 INTO LOCAL TEMP a',
    'DECLARE a CURSOR WITH HOLD FOR SELECT 1',
    'SELECT pg_advisory_lock(1)',
    "SELECT set_config('a.b', $1, false)",
    "SELECT set_config('a.b', $1, $2)",
  ])('%s sets something', (text) => expect([setsSession(text), setsSession({ text })]).toEqual([true, true]))

  test.each([
    'SET LOCAL statement_timeout = 1',
    'SET TRANSACTION READ ONLY',
    'SET CONSTRAINTS ALL DEFERRED',
    'CREATE TEMP TABLE a (id int)\nON COMMIT DROP',
    'SELECT pg_advisory_xact_lock(1)',
    "SELECT set_config('a.b', $1, true)",
    'UPDATE a SET b = 1',
    'INSERT INTO temp VALUES (1)',
    'MERGE INTO temporary USING a ON true WHEN NOT MATCHED THEN DO NOTHING',
    `INSERT ${' '.repeat(100_000)} INTO temp VALUES (1)`,
    `SELECT ${' '.repeat(100_000)}`,
    `${' '.repeat(100_000)}x`,
  ])('%s does not', (text) => expect(setsSession(text)).toBe(false))
})

describeService('postgres-18', (server) => {
  const single = new pg.Pool({ connectionString: server.url, max: 1 })
  const store = new PostgresStore<pg.PoolClient>({ pool: single, table: 'setting', transactionsMax: 1 })

  beforeAll(() => store.open())
  afterAll(async () => {
    await store.close()
    await single.end()
  })

  /** Runs a handler, and answers the process of its session. */
  async function handle(statement: string): Promise<unknown> {
    const claim = claimOf()
    let pid: unknown
    await store.claim([claim])
    const answer = await store.transaction(async (tx) => {
      pid = (await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid
      await tx.query(statement)
      return completionOf(claim)
    })
    expect(answer).toBe('ok')
    return pid
  }

  test('what a handler sets for its session ends with its transaction', async () => {
    const settings = ['statement_timeout = 60000', 'default_transaction_read_only = on', 'lock_timeout = 7']
    for (const setting of settings) {
      const pid = await handle(`SET ${setting}`)
      expect(await handle('SELECT 1')).not.toBe(pid)
      const { rows } = await single.query(`SELECT current_setting('lock_timeout') AS wait`)
      expect(rows).toEqual([{ wait: '0' }])
    }
  })

  test('a table of the session alone does not take what the next message writes', async () => {
    await single.query('CREATE TABLE IF NOT EXISTS booked (id int)')
    for (const statement of [
      'SELECT * INTO TEMP booked FROM public.booked',
      'CREATE TABLE pg_temp.booked (id int)',
      'CREATE OR REPLACE TEMP VIEW booked AS SELECT 1 AS id',
    ]) {
      await single.query('TRUNCATE booked')
      await handle(statement)
      await handle('INSERT INTO booked VALUES (1)')
      const { rows } = await single.query('SELECT id FROM public.booked')
      expect(rows).toEqual([{ id: 1 }])
    }
  })

  test('a handler that goes to another schema has its record completed in that of the pool', async () => {
    await single.query('CREATE SCHEMA IF NOT EXISTS tenant')
    await single.query('CREATE TABLE IF NOT EXISTS tenant.setting (LIKE public.setting)')
    for (const path of ['tenant', 'nowhere']) await handle(`SET LOCAL search_path = ${path}`)
    const { rows } = await single.query('SELECT count(*)::int AS count FROM tenant.setting')
    expect(rows).toEqual([{ count: 0 }])
  })

  test('as a rule it sets nothing, and the connection is kept', async () => {
    const pid = await handle('SET LOCAL lock_timeout = 7')
    expect(await handle('SELECT 1')).toBe(pid)
  })

  test('a query that is left unread is the failure of its handler, and no outage', async () => {
    const impatient = new PostgresStore<pg.PoolClient>({ url: server.url, table: 'setting', timeoutMs: 300 })
    await impatient.open()
    const claim = claimOf()
    await impatient.claim([claim])
    const running = impatient.transaction(async (tx) => {
      // As a cursor is that was not closed.
      class Unread extends pg.Query {
        handleReadyForQuery(): void {}
      }
      tx.query(new Unread('SELECT pg_sleep(60)'))
      return completionOf(claim)
    })
    await expect(running).rejects.toMatchObject({ code: 'ONCEMQ_HANDLER_TIMEOUT', retryable: false })
    await impatient.close()
  })
})
