import { PostgresStore } from '@oncemq/postgres'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import pg from 'pg'
import { afterAll, afterEach, expect, test } from 'vitest'
import { claimOf, claimsOf, completionOf } from '@oncemq/test-stores'
import { createSchema, testFaults, testFullDisk } from '@oncemq/test-stores/faults'
import { BOUND } from '@oncemq/test-stores/load'

describeService('postgres-18', { own: true }, (server) => {
  const ends: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end()
  })

  testFaults(server, (url, table) => new PostgresStore({ url, table, timeoutMs: 500 }))

  test('a call that gets no answer ends in time and leaves no connection behind', async () => {
    const proxy = await FaultProxy.open(server.url)
    ends.push(() => proxy.close())
    await createSchema(new PostgresStore({ url: server.url, table: 'swallowed' }))
    const store = new PostgresStore({ url: proxy.url, table: 'swallowed', timeoutMs: 300 })
    await store.open()
    proxy.swallowReplies()
    const batch = claimsOf(3)
    // The first gets no answer, the others no connection.
    await expect(store.claim(batch)).rejects.toMatchObject({ code: 'ONCEMQ_STORE_TIMEOUT', retryable: true })
    const failure = { code: 'ONCEMQ_STORE_UNAVAILABLE', retryable: true }
    for (let call = 0; call < 12; call += 1) await expect(store.claim(batch)).rejects.toMatchObject(failure)
    await expect.poll(() => proxy.connections, BOUND).toBe(0)
    proxy.resume()
    const granted = batch.map(() => ({ status: 'granted', epoch: 1, attempt: 1 }))
    await expect.poll(() => store.claim(batch).catch((error: unknown) => error), BOUND).toEqual(granted)
    await store.close()
  })

  test('a pool whose connections are all taken is unavailable in time, and loses none', async () => {
    const pool = new pg.Pool({ connectionString: server.url, max: 2 })
    await createSchema(new PostgresStore({ url: server.url, table: 'exhausted' }))
    const store = new PostgresStore({ pool, table: 'exhausted', timeoutMs: 300 })
    await store.open()
    const taken = [await pool.connect(), await pool.connect()]
    const claim = claimOf()
    await expect(store.claim([claim])).rejects.toThrow(/expected a connection within 300 ms/)
    for (const client of taken) client.release()
    expect((await store.claim([claim]))[0]?.status).toBe('granted')
    await expect.poll(() => [pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([2, 2, 0])
    await store.close()
    await pool.end()
  })

  test('an injected pool without a listener survives the end of idle connections', async () => {
    const pool = new pg.Pool({ connectionString: server.url, max: 4 })
    const store = new PostgresStore({ pool, table: 'idle' })
    await store.open()
    await store.claim(claimsOf(2))
    const admin = new pg.Client(server.url)
    await admin.connect()
    await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()')
    await admin.end()
    await expect.poll(() => pool.totalCount).toBe(0)
    expect((await store.claim([claimOf()]))[0]?.status).toBe('granted')
    await store.close()
    expect(pool.listenerCount('error')).toBe(0)
    await pool.end()
  })

  test('what the server says as soon as a connection is made is listened to', async () => {
    const pool = new pg.Pool({ connectionString: server.url, max: 4 })
    const store = new PostgresStore({ pool, table: 'hasty' })
    const listening: number[] = []
    // Its next message may stand in the same packet: it is read before any promise goes on.
    pool.on('acquire', (client) => process.nextTick(() => listening.push(client.listenerCount('error'))))
    await store.open()
    await Promise.all([store.claim(claimsOf(2)), store.claim(claimsOf(2)), store.claim(claimsOf(2))])
    expect(listening.length).toBeGreaterThan(3)
    expect(Math.min(...listening)).toBe(1)
    await store.close()
    await pool.end()
  })

  test('a long lock of somebody else is an error in time, and no hindrance when it is gone', async () => {
    const pool = new pg.Pool({ connectionString: server.url })
    await createSchema(new PostgresStore({ url: server.url, table: 'locked' }))
    const store = new PostgresStore({ pool, table: 'locked', timeoutMs: 200 })
    await store.open()
    const claim = claimOf()
    await store.claim([claim])
    const other = await pool.connect()
    await other.query('BEGIN; LOCK TABLE locked')
    await expect(store.update([completionOf(claim)])).rejects.toMatchObject({ retryable: true })
    await other.query('COMMIT')
    other.release()
    expect(await store.update([completionOf(claim)])).toEqual(['ok'])
    await store.close()
    await pool.end()
  })

  afterAll(() => server.close())
})

testFullDisk(
  'postgres-18',
  { diskMb: 160 },
  (url, table) => new PostgresStore({ url, table, timeoutMs: 500 }),
)
