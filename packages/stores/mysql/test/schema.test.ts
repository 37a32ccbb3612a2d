import { MysqlStore } from '@oncemq/mysql'
import { describeService } from '@oncemq/test-services/vitest'
import mysql from 'mysql2/promise'
import type { RowDataPacket } from 'mysql2/promise'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { claimOf, completionOf } from '@oncemq/test-stores'

// What the README tells to grant.
const GRANTS = `
  GRANT SELECT, INSERT, UPDATE, DELETE ON app.oncemq TO 'worker'@'127.0.0.1';
  GRANT SELECT, UPDATE ON app.oncemq_meta TO 'worker'@'127.0.0.1';`

for (const name of ['mysql-8.0', 'mariadb-11.8'] as const) {
  describeService(name, { own: true }, (server) => {
    const admin = mysql.createPool({ uri: server.url, multipleStatements: true, connectionLimit: 20 })

    beforeAll(async () => {
      await admin.query(`CREATE DATABASE app; CREATE USER 'worker'@'127.0.0.1'`)
    })
    afterAll(() => admin.end())

    function asWorker(): string {
      return server.url.replace('test@', 'worker@').replace(/test$/, '')
    }

    test('ten that open at once create the tables once', async () => {
      const stores = Array.from({ length: 10 }, () => new MysqlStore({ url: server.url, table: 'ten' }))
      await Promise.all(stores.map((store) => store.open()))
      const [rows] = await admin.query<RowDataPacket[]>(`SELECT name, value FROM ten_meta ORDER BY name`)
      expect(rows).toEqual([
        { name: 'schema_version', value: 1 },
        { name: 'sweep_until', value: 0 },
      ])
      await Promise.all(stores.map((store) => store.close()))
    })

    test('a user with the documented grants does everything on tables that an owner made', async () => {
      await admin.query(new MysqlStore({ pool: admin, table: 'app.oncemq' }).schema() + GRANTS)
      const store = new MysqlStore({ url: asWorker(), table: 'app.oncemq' })
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
      const failure = new MysqlStore({ url: asWorker(), table: 'app.forbidden' }).open()
      await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED', cause: { errno: 1142 } })
      await expect(failure).rejects.toThrow(/README/)
    })

    test('without createSchema a missing table is an error, and nothing is created', async () => {
      const failure = new MysqlStore({ pool: admin, table: 'missing', createSchema: false }).open()
      await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_CORRUPT', cause: { errno: 1146 } })
      await expect(failure).rejects.toThrow(/schema\(\)/)
      expect((await admin.query(`SHOW TABLES LIKE 'missing%'`))[0]).toEqual([])
    })

    test('a database that is missing, or none at all, is named as such', async () => {
      const nowhere = new MysqlStore({ pool: admin, table: 'nowhere.oncemq' }).open()
      await expect(nowhere).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED', cause: { errno: 1049 } })
      await expect(nowhere).rejects.toThrow(/CREATE DATABASE/)
      const none = new MysqlStore({ url: server.url.replace(/test$/, '') }).open()
      await expect(none).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED', cause: { errno: 1046 } })
    })

    test('a wrong password is refused', async () => {
      await admin.query(`CREATE USER 'locked'@'127.0.0.1' IDENTIFIED BY 'right'`)
      const failure = new MysqlStore({ url: server.url.replace('test@', 'locked:wrong@') }).open()
      await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED', cause: { errno: 1045 } })
      await expect(failure).rejects.not.toThrow(/wrong@|right/)
    })

    test('tables of another version are refused', async () => {
      const store = new MysqlStore({ pool: admin, table: 'newer' })
      await admin.query(store.schema() + `UPDATE newer_meta SET value = 2 WHERE name = 'schema_version'`)
      await expect(store.open()).rejects.toMatchObject({ code: 'ONCEMQ_STORE_CORRUPT' })
      await expect(store.open()).rejects.toThrow(/expected schema version 1 .* received 2/)
    })

    test('tables whose creation was interrupted are completed', async () => {
      const store = new MysqlStore({ pool: admin, table: 'interrupted' })
      await admin.query(store.schema() + 'DELETE FROM interrupted_meta; DROP TABLE interrupted')
      expect(await store.open()).toEqual([])
      expect((await store.claim([claimOf()]))[0]?.status).toBe('granted')
      await store.close()
    })

    test('a table that is dropped while it is used is an error that says what to do', async () => {
      const store = new MysqlStore({ pool: admin, table: 'dropped' })
      await store.open()
      await admin.query('DROP TABLE dropped')
      const claim = claimOf({ label: 'secret' })
      const failure: unknown = await store.claim([claim]).catch((error: unknown) => error)
      expect(failure).toMatchObject({ code: 'ONCEMQ_STORE_CORRUPT', cause: { errno: 1146 } })
      // Nor does the driver's error show what the statement held, when it is logged with all it has.
      const shown = JSON.stringify((failure as Error).cause) + String((failure as Error).cause)
      expect(shown).not.toContain(claim.id)
      expect(shown).not.toContain(Buffer.from('secret').toString('hex'))
      await store.close()
    })

    test('the longest name fits all names made from it', async () => {
      const store = new MysqlStore({ pool: admin, table: `app.${'x'.repeat(59)}` })
      expect(await store.open()).toEqual([])
      await store.close()
    })
  })
}
