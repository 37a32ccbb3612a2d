import { createDeduplicator } from '@oncemq/core'
import { PostgresStore } from '@oncemq/postgres'
import { describeService } from '@oncemq/test-services/vitest'
import { BOUND, Load, NOTHING_WRONG } from '@oncemq/test-stores/load'
import pg from 'pg'
import { afterAll, expect, test } from 'vitest'

const KEYS = 300

// Each transaction goes to whichever of a few connections is free, which then forgets its session.
describeService('pgbouncer', { own: true, args: ['default_pool_size = 4'] }, (server) => {
  const pool = new pg.Pool({ connectionString: server.url, max: 20 })
  const port = server.nodes.find(({ name }) => name === 'postgres')?.port
  const database = new pg.Pool({ connectionString: `postgres://postgres@127.0.0.1:${port}/postgres`, max: 1 })
  // Their idle connections end with the servers, and between two stores nobody else listens.
  for (const each of [pool, database]) each.on('error', () => {})
  afterAll(() => Promise.all([pool.end(), database.end()]))

  const open = (table: string): PostgresStore =>
    new PostgresStore({ url: server.url, table, timeoutMs: 500, transactionsMax: 16 })

  test('each transaction may get another connection', async () => {
    const store = new PostgresStore({ pool, table: 'pooled' })
    const lease = createDeduplicator({ store, consumerGroup: 'lease' })
    const ledger = createDeduplicator({ store, consumerGroup: 'ledger', strategy: 'transactional' })
    await pool.query('CREATE TABLE pooled_effects (key text)')
    const twice = [...Array(KEYS).keys(), ...Array(KEYS).keys()].map((number) => `key-${number}`)
    let runs = 0
    const seen = new Set<number>()
    await Promise.all(
      twice.map(async (key) => {
        await lease.run(key, () => void (runs += 1))
        await ledger.run(key, async ({ tx }) => {
          const sql = 'INSERT INTO pooled_effects VALUES ($1) RETURNING pg_backend_pid() AS pid'
          const { rows } = await tx.query<{ pid: number }>(sql, [key])
          seen.add(rows[0]?.pid as number)
        })
      }),
    )
    expect(runs).toBe(KEYS)
    expect(seen.size).toBeGreaterThan(1)
    const { rows } = await pool.query(
      'SELECT count(*)::integer AS count, count(DISTINCT key)::integer AS keys FROM pooled_effects',
    )
    expect(rows).toEqual([{ count: KEYS, keys: KEYS }])
    expect(await store.sweep(10)).toBe(0)
    await lease.close()
    await ledger.close()
  })

  test('its connections to the database are ended under load: nothing is lost', async () => {
    const load = await Load.start(open('ended'))
    for (let time = 0; time < 3; time += 1) {
      await load.progress()
      const { rowCount } = await database.query(
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity ' +
          "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
      )
      expect(rowCount).toBeGreaterThan(0)
    }
    await load.progress()
    expect(await load.wrongs(open('ended'))).toEqual(NOTHING_WRONG)
  })

  test.each(['pgbouncer', 'postgres'])('kill -9 of %s under load: nothing is lost', async (node) => {
    const load = await Load.start(open(`killed_${node}`))
    await load.progress()
    await server.kill9(node)
    await expect.poll(() => load.dedup.outage?.retryable, BOUND).toBe(true)
    await server.start(node)
    await load.progress()
    expect(await load.wrongs(open(`killed_${node}`))).toEqual(NOTHING_WRONG)
  })
})
