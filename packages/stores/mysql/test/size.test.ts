import { MysqlStore } from '@oncemq/mysql'
import { describeService } from '@oncemq/test-services/vitest'
import type { RowDataPacket } from 'mysql2/promise'
import { afterAll, expect, test } from 'vitest'
import { databaseOf } from './database.ts'
import { claimsOf, completionOf } from '@oncemq/test-stores'

const KEYS = 30_000
const BATCH = 500

describeService('mysql-8.0', (server) => {
  const { pool, end } = databaseOf(server)
  afterAll(end)

  // The README's figures. The bounds leave room for the random ids, which fill the pages by two thirds.
  test.each([
    ['without a label', 'sized', {}, 100, 160],
    ['with a label of 24 characters', 'sized_label', { label: 'billing payment-00000001' }, 130, 200],
  ])('a key that is done takes the bytes that are documented, %s', async (_what, table, given, min, max) => {
    const store = new MysqlStore({ pool, table })
    await store.open()
    for (let keys = 0; keys < KEYS; keys += BATCH) {
      const claims = claimsOf(BATCH, given)
      await store.claim(claims)
      await store.update(claims.map(completionOf))
    }
    await store.close()
    // Pages in use, without the space that the file has in reserve.
    await pool.query(`ANALYZE TABLE ${table}`)
    const [rows] = await pool.query<RowDataPacket[]>(
      `SELECT stat_value * @@innodb_page_size AS bytes FROM mysql.innodb_index_stats
       WHERE database_name = DATABASE() AND table_name = ? AND stat_name = 'n_leaf_pages'`,
      [table],
    )
    const bytes = Number(rows[0]?.['bytes']) / KEYS
    expect(bytes).toBeGreaterThan(min)
    expect(bytes).toBeLessThan(max)
  })
})
