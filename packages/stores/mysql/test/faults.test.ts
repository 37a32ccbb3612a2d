import { MysqlStore } from '@oncemq/mysql'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import mysql from 'mysql2/promise'
import { afterAll, afterEach, expect, test } from 'vitest'
import { claimOf, claimsOf, completionOf } from '@oncemq/test-stores'
import { createSchema, testFaults, testFullDisk } from '@oncemq/test-stores/faults'
import { BOUND } from '@oncemq/test-stores/load'

describeService('mariadb-11.8', { own: true }, (server) => {
  const ends: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end()
  })

  testFaults(server, (url, table) => new MysqlStore({ url, table, timeoutMs: 500 }))

  test('a call that gets no answer ends in time and leaves no connection behind', async () => {
    const proxy = await FaultProxy.open(server.url)
    ends.push(() => proxy.close())
    await createSchema(new MysqlStore({ url: server.url, table: 'swallowed' }))
    const store = new MysqlStore({ url: proxy.url, table: 'swallowed', timeoutMs: 200 })
    await store.open()
    proxy.swallowReplies()
    const batch = claimsOf(3)
    // The first gets no answer, the others no connection.
    await expect(store.claim(batch)).rejects.toMatchObject({ code: 'ONCEMQ_STORE_TIMEOUT', retryable: true })
    const failure = { code: 'ONCEMQ_STORE_UNAVAILABLE', retryable: true }
    for (let call = 0; call < 20; call += 1) await expect(store.claim(batch)).rejects.toMatchObject(failure)
    await expect.poll(() => proxy.connections, BOUND).toBe(0)
    proxy.resume()
    expect(await store.claim(batch)).toEqual(batch.map(() => ({ status: 'granted', epoch: 1, attempt: 1 })))
    await store.close()
  })

  test('a pool whose connections are all taken is unavailable in time, and loses none', async () => {
    const pool = mysql.createPool({ uri: server.url, connectionLimit: 2 })
    await createSchema(new MysqlStore({ url: server.url, table: 'exhausted' }))
    const store = new MysqlStore({ pool, table: 'exhausted', timeoutMs: 300, transactionsMax: 1 })
    await store.open()
    const taken = [await pool.getConnection(), await pool.getConnection()]
    const claim = claimOf()
    await expect(store.claim([claim])).rejects.toThrow(/expected a connection within 300 ms/)
    for (const connection of taken) connection.release()
    expect((await store.claim([claim]))[0]?.status).toBe('granted')
    // Each can be had again: the one that came too late was given back.
    const again = [await pool.getConnection(), await pool.getConnection()]
    for (const connection of again) connection.release()
    await store.close()
    await pool.end()
  })

  test('an injected pool survives the end of its idle connections', async () => {
    const pool = mysql.createPool({ uri: server.url, connectionLimit: 4 })
    const store = new MysqlStore({ pool, table: 'idle' })
    await store.open()
    await Promise.all(claimsOf(4).map((claim) => store.claim([claim])))
    await killOthers()
    await expect
      .poll(async () => (await store.claim([claimOf()]).catch(() => []))[0]?.status, BOUND)
      .toBe('granted')
    await store.close()
    await pool.end()
  })

  test('a long lock of somebody else is an error in time, and no hindrance when it is gone', async () => {
    const pool = mysql.createPool(server.url)
    await createSchema(new MysqlStore({ url: server.url, table: 'locked' }))
    const store = new MysqlStore({ pool, table: 'locked', timeoutMs: 200 })
    await store.open()
    const claim = claimOf()
    await store.claim([claim])
    const other = await pool.getConnection()
    await other.beginTransaction()
    await other.query('SELECT * FROM locked FOR UPDATE')
    const failure = store.update([completionOf(claim)])
    await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_TIMEOUT', retryable: true })
    await other.commit()
    other.release()
    expect(await store.update([completionOf(claim)])).toEqual(['ok'])
    await store.close()
    await pool.end()
  })

  async function killOthers(): Promise<void> {
    const admin = await mysql.createConnection(server.url)
    const [others] = await admin.query<mysql.RowDataPacket[]>(
      "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND user = 'test'",
    )
    for (const { id } of others) await admin.query(`KILL ${id}`).catch(() => undefined)
    await admin.end()
  }

  afterAll(() => server.close())
})

testFullDisk('mysql-8.0', { diskMb: 400 }, (url, table) => new MysqlStore({ url, table, timeoutMs: 500 }))
testFullDisk('mariadb-11.8', { diskMb: 300 }, (url, table) => new MysqlStore({ url, table, timeoutMs: 500 }))
