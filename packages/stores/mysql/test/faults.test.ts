import { createDeduplicator, recordId } from '@oncemq/core'
import { MysqlStore } from '@oncemq/mysql'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import mysql from 'mysql2/promise'
import { afterAll, afterEach, expect, test } from 'vitest'
import { claimOf, claimsOf, completionOf } from '@oncemq/test-stores'

const BOUND = { timeout: 20_000, interval: 20 }

describeService('mariadb-11.8', { own: true }, (server) => {
  const ends: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end()
  })

  /** A consumer under load: keys without end, a few at a time, and what it has acked so far. */
  async function load(url: string, table: string) {
    const store = new MysqlStore({ url, table, timeoutMs: 500 })
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
    const store = new MysqlStore({ url: server.url, table })
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
    const store = new MysqlStore({ url: proxy.url, table: 'swallowed', timeoutMs: 200 })
    await store.open()
    proxy.swallowReplies()
    const batch = claimsOf(3)
    const failure = { code: 'ONCEMQ_STORE_UNAVAILABLE', retryable: true }
    for (let call = 0; call < 20; call += 1) await expect(store.claim(batch)).rejects.toMatchObject(failure)
    await expect.poll(() => proxy.connections, BOUND).toBe(0)
    proxy.resume()
    expect(await store.claim(batch)).toEqual(batch.map(() => ({ status: 'granted', epoch: 1, attempt: 1 })))
    await store.close()
  })

  test('a pool whose connections are all taken is unavailable in time, and loses none', async () => {
    const pool = mysql.createPool({ uri: server.url, connectionLimit: 2 })
    const store = new MysqlStore({ pool, table: 'exhausted', timeoutMs: 100, transactionsMax: 1 })
    await store.open()
    const taken = [await pool.getConnection(), await pool.getConnection()]
    const claim = claimOf()
    await expect(store.claim([claim])).rejects.toThrow(/expected a connection within 100 ms/)
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
    const store = new MysqlStore({ pool, table: 'locked', timeoutMs: 200 })
    await store.open()
    const claim = claimOf()
    await store.claim([claim])
    const other = await pool.getConnection()
    await other.beginTransaction()
    await other.query('SELECT * FROM locked FOR UPDATE')
    const failure = store.update([completionOf(claim)])
    await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE', retryable: true })
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
