import { systemClock } from '@oncemq/core/store'
import { PostgresStore } from '@oncemq/postgres'
import { describeService } from '@oncemq/test-services/vitest'
import { afterAll, expect, test } from 'vitest'
import { startChild } from './children.ts'
import { databaseOf } from './database.ts'
import { claimOf, completionOf, newHex } from '@oncemq/test-stores'

const PROCESSES = 4
const HOUR_MS = 3_600_000

// A server of its own, as it counts the deadlocks of all: another test makes some.
describeService('postgres-18', { own: true }, (server) => {
  const { pool, effects, end } = databaseOf(server)
  afterAll(end)

  async function deadlocks(): Promise<number> {
    const { rows } = await pool.query<{ count: string }>(
      'SELECT deadlocks AS count FROM pg_stat_database WHERE datname = current_database()',
    )
    return Number(rows[0]?.count)
  }

  test('several processes that claim the same ids at once get each id once, without a deadlock', async () => {
    const before = await deadlocks()
    const children = Array.from({ length: PROCESSES }, () => startChild('claim', server.url, 'raced'))
    await Promise.all(children.map((child) => child.told()))
    for (let round = 0; round < 10; round += 1) {
      const ids = Array.from({ length: 300 }, newHex)
      // Each asks in an order of its own.
      for (const [at, child] of children.entries()) {
        const order = at % 2 === 0 ? ids : ids.toReversed()
        child.tell(order.map((id) => claimOf({ id })))
      }
      const granted = await Promise.all(children.map((child) => child.told<string[]>()))
      expect(granted.flat().toSorted()).toEqual(ids.toSorted())
    }
    expect(await deadlocks()).toBe(before)
  })

  test('several processes that take over the same ids at once do not deadlock', async () => {
    const before = await deadlocks()
    const ids = Array.from({ length: 300 }, newHex)
    const children = Array.from({ length: PROCESSES }, () => startChild('claim', server.url, 'overtaken'))
    await Promise.all(children.map((child) => child.told()))
    for (let round = 0; round < 10; round += 1) {
      for (const [at, child] of children.entries()) {
        const order = at % 2 === 0 ? ids : ids.toReversed()
        child.tell(order.map((id) => claimOf({ id, leaseMs: 1 })))
      }
      const granted = await Promise.all(children.map((child) => child.told<string[]>()))
      expect(new Set(granted.flat()).size).toBe(ids.length)
    }
    expect(await deadlocks()).toBe(before)
  })

  test('completions that come late and those who take over do not deadlock', async () => {
    const before = await deadlocks()
    const store = new PostgresStore({ pool, table: 'late' })
    await store.open()
    const ids = Array.from({ length: 300 }, newHex)
    const work = async (order: readonly string[]): Promise<void> => {
      for (let round = 0; round < 20; round += 1) {
        const claims = order.map((id) => claimOf({ id, leaseMs: 1 }))
        const answers = await store.claim(claims)
        const granted = claims.filter((_, at) => answers[at]?.status === 'granted')
        // Over at once, so that there is something to claim again.
        const completions = granted.map((claim) => ({ ...completionOf(claim), retentionMs: 1 }))
        if (completions.length > 0) await store.update(completions)
      }
    }
    await Promise.all([ids, ids.toReversed(), ids, ids.toReversed()].map(work))
    expect(await deadlocks()).toBe(before)
    await store.close()
  })

  test('kill -9 inside of a handler takes its writes back, and keeps its key for the lease', async () => {
    await effects.prepare?.('killed')
    const child = startChild('transact', server.url, 'killed')
    const id = await child.told<string>()
    await child.kill()
    const store = new PostgresStore({ pool, table: 'killed' })
    await store.open()
    expect(await effects.count('killed', id)).toBe(0)
    expect((await store.claim([claimOf({ id })]))[0]?.status).toBe('busy')
    await store.close()
  })

  test('kill -9 in the middle of batches leaves one effect of each message', async () => {
    await effects.prepare?.('batched')
    const keys = Array.from({ length: 60 }, (_, at) => `key-${at}`)
    for (const heard of [1, 9, 20, 33, Infinity]) {
      const child = startChild('batch', server.url, 'batched')
      await child.told()
      child.tell(keys)
      for (let count = 0; count < heard; count += 1) {
        if ((await child.told()) === 'done') break
      }
      await child.kill()
    }
    const counts = await Promise.all(keys.map((key) => effects.count('batched', key)))
    expect(counts).toEqual(keys.map(() => 1))
  })

  test("leases follow the server's clock, however far the clients' clocks are from it", async () => {
    const stores = [-HOUR_MS, HOUR_MS].map((offMs) => {
      const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + offMs }
      return new PostgresStore({ pool, table: 'clocks', clock })
    })
    const [late, early] = stores as [(typeof stores)[0], (typeof stores)[0]]
    for (const store of stores) await store.open()
    const [first, second] = [claimOf({ leaseMs: 60_000 }), claimOf({ leaseMs: 60_000 })]
    await late.claim([first])
    await early.claim([second])
    const rivals = [first, second].map(({ id }) => claimOf({ id }))
    for (const store of stores) {
      expect((await store.claim(rivals)).map(({ status }) => status)).toEqual(['busy', 'busy'])
    }
    for (const store of stores) await store.close()
  })

  test('the time zone of a session changes no lease', async () => {
    const store = new PostgresStore({
      url: `${server.url}?options=-c%20TimeZone%3DPacific/Apia`,
      table: 'zones',
    })
    const other = new PostgresStore({
      url: `${server.url}?options=-c%20TimeZone%3DAmerica/Lima`,
      table: 'zones',
    })
    await store.open()
    await other.open()
    const claim = claimOf({ leaseMs: 60_000 })
    await store.claim([claim])
    const [answer] = await other.claim([claimOf({ id: claim.id })])
    expect(answer).toMatchObject({ status: 'busy', epoch: 1 })
    const [record] = await other.inspect([claim.id])
    expect(record?.leaseRemainingMs).toBeGreaterThan(50_000)
    expect(record?.leaseRemainingMs).toBeLessThanOrEqual(60_000)
    await store.close()
    await other.close()
  })
})
