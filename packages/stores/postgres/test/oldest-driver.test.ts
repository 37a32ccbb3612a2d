import { PostgresStore } from '@oncemq/postgres'
import type { PostgresPool } from '@oncemq/postgres'
import { describeService } from '@oncemq/test-services/vitest'
import { newHex } from '@oncemq/test-stores'
import { ONCE, onceWith } from '@oncemq/test-stores/once'
import type { PoolClient } from 'pg'
// The types are those of the newest: it has none of its own.
// @ts-expect-error a package without types
import oldest from 'pg-8-12'
import { afterAll, expect, test } from 'vitest'
import type pg from 'pg'

describeService('postgres-18', ({ url }) => {
  const { Pool } = oldest as unknown as typeof pg
  const pool = new Pool({ connectionString: url, max: 12 })
  afterAll(() => pool.end())

  test('the oldest pg of its range does what the newest does', async () => {
    const table = `t${newHex()}`
    await pool.query(`CREATE TABLE ${table} (name text)`)
    const given: PostgresPool<PoolClient> = pool
    const seen = await onceWith(
      new PostgresStore({ pool: given, table: `o${newHex()}` }),
      (tx) => tx.query(`INSERT INTO ${table} VALUES ($1)`, ['a']),
      async () => (await pool.query(`SELECT name FROM ${table}`)).rowCount ?? -1,
    )
    expect(seen).toEqual(ONCE)
  })
})
