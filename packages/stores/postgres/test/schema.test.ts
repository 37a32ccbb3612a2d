import { PostgresStore } from '@oncemq/postgres'
import { describeService } from '@oncemq/test-services/vitest'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { claimOf, completionOf } from '@oncemq/test-stores'

// What the README tells to grant.
const GRANTS = `
  GRANT USAGE ON SCHEMA app TO worker;
  GRANT SELECT, INSERT, UPDATE, DELETE ON app.oncemq TO worker;
  GRANT SELECT, UPDATE ON app.oncemq_meta TO worker;`

describeService('postgres-18', { own: true }, (server) => {
  const admin = new pg.Pool({ connectionString: server.url, max: 20 })

  beforeAll(async () => {
    await admin.query(
      `CREATE SCHEMA app; CREATE ROLE worker LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC`,
    )
  })
  afterAll(() => admin.end())

  function asWorker(): string {
    return server.url.replace('postgres@', 'worker@')
  }

  test('ten that open at once create the tables once', async () => {
    const stores = Array.from({ length: 10 }, () => new PostgresStore({ url: server.url, table: 'ten' }))
    await Promise.all(stores.map((store) => store.open()))
    const { rows } = await admin.query(`SELECT name, value FROM ten_meta ORDER BY name`)
    expect(rows).toEqual([
      { name: 'schema_version', value: '1' },
      { name: 'sweep_block', value: '0' },
    ])
    await Promise.all(stores.map((store) => store.close()))
  })

  test('a user with the documented grants does everything on tables that an owner made', async () => {
    await admin.query(new PostgresStore({ pool: admin, table: 'app.oncemq' }).schema() + GRANTS)
    const store = new PostgresStore({ url: asWorker(), table: 'app.oncemq' })
    expect(await store.open()).toEqual([])
    const [done, other] = [claimOf({ retentionMs: 1 }), claimOf()]
    expect((await store.claim([done, other])).map(({ status }) => status)).toEqual(['granted', 'granted'])
    expect(await store.transaction(async () => completionOf(done))).toBe('ok')
    expect((await store.inspect([other.id]))[0]?.state).toBe('running')
    await expect.poll(() => store.sweep(10)).toBe(1)
    await store.forget([other.id])
    expect(await store.inspect([done.id, other.id])).toEqual([undefined, undefined])
    await store.close()
  })

  test('a user who may not create tables is told so', async () => {
    const failure = new PostgresStore({ url: asWorker() }).open()
    await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED', cause: { code: '42501' } })
    await expect(failure).rejects.toThrow(/README/)
  })

  test('without createSchema a missing table is an error, and nothing is created', async () => {
    const failure = new PostgresStore({ pool: admin, table: 'missing', createSchema: false }).open()
    await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_CORRUPT', cause: { code: '42P01' } })
    await expect(failure).rejects.toThrow(/schema\(\)/)
    expect((await admin.query(`SELECT to_regclass('missing') AS found`)).rows).toEqual([{ found: null }])
  })

  test('a schema that is missing is named as such', async () => {
    const failure = new PostgresStore({ pool: admin, table: 'nowhere.oncemq' }).open()
    await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED', cause: { code: '3F000' } })
    await expect(failure).rejects.toThrow(/CREATE SCHEMA/)
  })

  test('names keep their case, and tables of other schemas are others', async () => {
    const [upper, lower] = ['app.Keys', 'app.keys'].map((table) => new PostgresStore({ pool: admin, table }))
    const claim = claimOf()
    for (const store of [upper, lower]) {
      await store?.open()
      expect((await store?.claim([claim]))?.[0]).toEqual({ status: 'granted', epoch: 1, attempt: 1 })
      await store?.close()
    }
  })

  test('tables of another version are refused', async () => {
    const store = new PostgresStore({ pool: admin, table: 'newer' })
    await admin.query(store.schema() + `UPDATE newer_meta SET value = 2 WHERE name = 'schema_version'`)
    await expect(store.open()).rejects.toMatchObject({ code: 'ONCEMQ_STORE_CORRUPT' })
    await expect(store.open()).rejects.toThrow(/expected schema version 1 .* received 2/)
  })

  test('a table that is dropped while it is used is an error that says what to do', async () => {
    const store = new PostgresStore({ pool: admin, table: 'dropped' })
    await store.open()
    await admin.query('DROP TABLE dropped')
    await expect(store.claim([claimOf()])).rejects.toMatchObject({ code: 'ONCEMQ_STORE_CORRUPT' })
    await store.close()
  })

  test('a sixty-character table of an owned schema fits all names made from it', async () => {
    const table = `app.${'x'.repeat(58)}`
    const store = new PostgresStore({ pool: admin, table })
    await store.open()
    const { rows } = await admin.query(
      `SELECT relname FROM pg_class WHERE relname LIKE 'xxxx%' AND relkind = 'r'`,
    )
    expect(rows).toHaveLength(3)
    await store.close()
  })
})
