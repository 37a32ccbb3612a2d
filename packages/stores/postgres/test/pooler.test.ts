import { createDeduplicator } from '@oncemq/core'
import { PostgresStore } from '@oncemq/postgres'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, test } from 'vitest'
import { openPooler } from './pooler.ts'

const KEYS = 300

describeService('postgres-18', (server) => {
  test('a pooler that gives each transaction another connection is no hindrance', async () => {
    const pool = await openPooler(server.url)
    const store = new PostgresStore({ pool, table: 'pooled' })
    const lease = createDeduplicator({ store, consumerGroup: 'lease' })
    const ledger = createDeduplicator({ store, consumerGroup: 'ledger', strategy: 'transactional' })
    await pool.connect().then((client) => client.query({ text: 'CREATE TABLE pooled_effects (key text)' }))
    const twice = [...Array(KEYS).keys(), ...Array(KEYS).keys()].map((number) => `key-${number}`)
    let runs = 0
    await Promise.all(
      twice.map(async (key) => {
        await lease.run(key, () => void (runs += 1))
        await ledger.run(key, async ({ tx }) => {
          await tx.query({ text: 'INSERT INTO pooled_effects VALUES ($1)', values: [key] })
        })
      }),
    )
    expect(runs).toBe(KEYS)
    const client = await pool.connect()
    const { rows } = await client.query({
      text: 'SELECT count(*)::integer AS count, count(DISTINCT key)::integer AS keys FROM pooled_effects',
    })
    expect(rows).toEqual([{ count: KEYS, keys: KEYS }])
    expect(await store.sweep(10)).toBe(0)
    await lease.close()
    await ledger.close()
    await pool.end()
  })
})
