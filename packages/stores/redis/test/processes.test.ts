import { systemClock } from '@oncemq/core/store'
import { RedisStore } from '@oncemq/redis'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, test } from 'vitest'
import { startChild } from './children.ts'
import { claimOf, newHex } from '@oncemq/test-stores'
import { statusesOf } from './life.ts'

const PROCESSES = 4
const HOUR_MS = 3_600_000

describeService('redis-8', ({ url }) => {
  test.each([
    ['new ids', 60_000],
    ['ids whose lease is over', 1],
  ])('several processes that claim the same ids at once get each id once: %s', async (_what, leaseMs) => {
    const prefix = newHex()
    const children = Array.from({ length: PROCESSES }, () => startChild(url, prefix))
    await Promise.all(children.map((child) => child.told()))
    const store = new RedisStore({ url, prefix })
    await store.open()
    for (let round = 0; round < 10; round += 1) {
      const ids = Array.from({ length: 200 }, newHex)
      await store.claim(ids.map((id) => claimOf({ id, leaseMs: 1 })))
      const isOver = async () =>
        (await store.inspect(ids)).every((record) => (record?.leaseRemainingMs ?? 1) <= 0)
      await expect.poll(isOver).toBe(true)
      if (leaseMs > 1) await store.forget(ids)
      // Each asks in an order of its own.
      for (const [at, child] of children.entries()) {
        const order = at % 2 === 0 ? ids : ids.toReversed()
        child.tell(order.map((id) => claimOf({ id })))
      }
      const granted = await Promise.all(children.map((child) => child.told<string[]>()))
      expect(granted.flat().toSorted()).toEqual(ids.toSorted())
    }
    await store.close()
  })

  test("leases follow the server's clock, however far the clients' clocks are from it", async () => {
    const prefix = newHex()
    const stores = [-HOUR_MS, HOUR_MS].map((offMs) => {
      const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + offMs }
      return new RedisStore({ url, prefix, clock })
    })
    const [late, early] = stores as [RedisStore, RedisStore]
    for (const store of stores) await store.open()
    const [first, second] = [claimOf(), claimOf()]
    await late.claim([first])
    await early.claim([second])
    const rivals = [first, second].map(({ id }) => claimOf({ id }))
    for (const store of stores) {
      expect(statusesOf(await store.claim(rivals))).toEqual(['busy', 'busy'])
      const records = await store.inspect(rivals.map(({ id }) => id))
      for (const record of records) expect(record?.leaseRemainingMs).toBeGreaterThan(50_000)
    }
    for (const store of stores) await store.close()
  })
})
