import { createDeduplicator, recordId } from '@oncemq/core'
import { PostgresStore } from '@oncemq/postgres'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import pg from 'pg'
import { afterAll, afterEach, expect, test } from 'vitest'
import { claimOf, claimsOf, completionOf } from '@oncemq/test-stores'

const BOUND = { timeout: 20_000, interval: 20 }

describeService('postgres-18', { own: true }, (server) => {
  const ends: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end()
  })

  /** A consumer under load: keys without end, a few at a time, and what it has acked so far. */
  async function load(url: string, table: string) {
    const store = new PostgresStore({ url, table, timeoutMs: 500 })
    const dedup = createDeduplicator({ store, consumerGroup: 'load', storeTimeoutMs: 1000, leaseMs: 20_000 })
    await dedup.open()
    const acked: string[] = []
    const runs = new Map<string, number>()
    let stopped = false
    const work = async (worker: number): Promise<void> => {
      for (let message = 0; !stopped; message += 1) {
        const key = `${worker}-${message}`
        // As a broker does: what was not acked comes again.
        for (let isAcked = false; !isAcked && !stopped;) {
          const outcome = await dedup.process({ key }, () => {
            runs.set(key, (runs.get(key) ?? 0) + 1)
          })
          isAcked = outcome.status === 'completed' || outcome.status === 'duplicate'
          if (isAcked) acked.push(key)
          else await dedup.available()
        }
      }
    }
    const workers = Array.from({ length: 16 }, (_, worker) => work(worker))
    const stop = async (): Promise<void> => {
      stopped = true
      await Promise.all(workers)
      await dedup.close()
    }
    ends.push(stop)
    return { dedup, acked, runs, stop }
  }

  async function progress({ acked }: { acked: readonly string[] }): Promise<void> {
    const before = acked.length
    await expect.poll(() => acked.length, BOUND).toBeGreaterThan(before + 100)
  }

  /** Every acked key is done in the table, and each ran once. */
  async function expectNothingLost(
    { acked, runs, stop }: Awaited<ReturnType<typeof load>>,
    table: string,
  ): Promise<void> {
    await stop()
    const store = new PostgresStore({ url: server.url, table })
    await store.open()
    const records = await store.inspect(acked.map((key) => recordId('load', key)))
    await store.close()
    expect(acked.filter((_, position) => records[position]?.state !== 'done')).toEqual([])
    expect([...runs].filter(([, count]) => count > 1)).toEqual([])
  }

  test('kill -9 of the server under load: all waits, nothing is lost, all goes on by itself', async () => {
    const consumer = await load(server.url, 'killed')
    for (let kill = 0; kill < 2; kill += 1) {
      await progress(consumer)
      await server.kill9()
      await expect.poll(() => consumer.dedup.outage?.code, BOUND).toBeDefined()
      const during = consumer.acked.length
      await server.start()
      await expect.poll(() => consumer.dedup.outage, BOUND).toBeUndefined()
      expect(consumer.acked.length).toBeGreaterThanOrEqual(during)
    }
    await progress(consumer)
    await expectNothingLost(consumer, 'killed')
  })

  test('a server that is stopped with SIGSTOP: calls end in time, and all goes on when it does', async () => {
    const consumer = await load(server.url, 'paused')
    await progress(consumer)
    await server.pause()
    await expect.poll(() => consumer.dedup.outage?.retryable, BOUND).toBe(true)
    await server.resume()
    await progress(consumer)
    await expectNothingLost(consumer, 'paused')
  })

  test('connections that are cut in the middle of replies lose nothing', async () => {
    const proxy = await FaultProxy.open(server.url)
    ends.push(() => proxy.close())
    const consumer = await load(proxy.url, 'cut')
    for (const bytes of [1, 3, 7, 20, 60, 150, 400]) {
      await progress(consumer)
      proxy.cutReplyAfter(bytes)
    }
    await progress(consumer)
    await expectNothingLost(consumer, 'cut')
  })

  test('a call that gets no answer ends in time and leaves no connection behind', async () => {
    const proxy = await FaultProxy.open(server.url)
    ends.push(() => proxy.close())
    const store = new PostgresStore({ url: proxy.url, table: 'swallowed', timeoutMs: 100 })
    await store.open()
    proxy.swallowReplies()
    const batch = claimsOf(3)
    const failure = { code: 'ONCEMQ_STORE_UNAVAILABLE', retryable: true }
    for (let call = 0; call < 12; call += 1) await expect(store.claim(batch)).rejects.toMatchObject(failure)
    await expect.poll(() => proxy.connections, BOUND).toBe(0)
    proxy.resume()
    expect(await store.claim(batch)).toEqual(batch.map(() => ({ status: 'granted', epoch: 1, attempt: 1 })))
    await store.close()
  })

  test('a pool whose connections are all taken is unavailable in time, and loses none', async () => {
    const pool = new pg.Pool({ connectionString: server.url, max: 2 })
    const store = new PostgresStore({ pool, table: 'exhausted', timeoutMs: 100 })
    await store.open()
    const taken = [await pool.connect(), await pool.connect()]
    const claim = claimOf()
    await expect(store.claim([claim])).rejects.toThrow(/expected a connection within 100 ms/)
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

  test('a long lock of somebody else is an error in time, and no hindrance when it is gone', async () => {
    const pool = new pg.Pool({ connectionString: server.url })
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
