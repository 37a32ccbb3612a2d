import { PostgresStore } from '@oncemq/postgres'
import { describeService } from '@oncemq/test-services/vitest'
import { afterAll, expect, test } from 'vitest'
import { databaseOf } from './database.ts'
import { claimsOf, completionOf } from '@oncemq/test-stores'

const KEYS = 30_000
const BATCH = 500

describeService('postgres-18', (server) => {
  const { pool, end } = databaseOf(server)
  afterAll(end)

  // The README's figures, index included. The bounds leave room for the random ids, which fill the index by
  // two thirds.
  test.each([
    ['without a label', 'sized', {}, 235, 270],
    ['with a label of 24 characters', 'sized_label', { label: 'billing payment-00000001' }, 300, 340],
  ])('a key that is done takes the bytes that are documented, %s', async (_what, table, given, min, max) => {
    const store = new PostgresStore({ pool, table })
    await store.open()
    for (let keys = 0; keys < KEYS; keys += BATCH) {
      const claims = claimsOf(BATCH, given)
      await store.claim(claims)
      await store.update(claims.map(completionOf))
    }
    await store.close()
    const { rows } = await pool.query<{ size: string }>(`SELECT pg_total_relation_size($1) AS size`, [table])
    const bytes = Number(rows[0]?.size) / KEYS
    expect(bytes).toBeGreaterThan(min)
    expect(bytes).toBeLessThan(max)
  })
})
