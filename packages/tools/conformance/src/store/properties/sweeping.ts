import assert from 'node:assert/strict'
import type { ClaimRequest, SweepingStore } from '@oncemq/core/store'
import type { Store } from '@oncemq/core'
import { assertDone, assertGranted, assertRecord } from '../answers.ts'
import { isSweeping } from '../capabilities.ts'
import type { StoreContext } from '../context.ts'
import type { StoreProperty } from '../property.ts'
import { newClaim, newClaims, rivalOf } from '../requests.ts'
import { LONG_MS } from '../worker.ts'

const ALL = 1000
const SWEEPS_MAX = 100

export const sweeping: StoreProperty = {
  name: 'sweeping',
  cases: [
    {
      name: 'a sweep removes what has expired, at most its limit at a time',
      needs: 'sweeping',
      async run(context) {
        const claims = await withExpired(context, 10)
        const counts = await sweepAll(context.worker.store, 4)
        assert.ok(
          counts.every((count) => count <= 4),
          `a sweep of at most 4 removed ${Math.max(...counts)}`,
        )
        assert.equal(sum(counts), 10)
        const records = await context.worker.store.inspect(claims.map(({ id }) => id))
        assert.ok(records.every((record) => record === undefined))
        assertGranted(await context.worker.claim(rivalOf(claims[0] as ClaimRequest)), 1, 1)
      },
    },
    {
      name: 'a sweep keeps what is done, free or running, also when the lease is over',
      needs: 'sweeping',
      async run({ worker, time }) {
        const [done, free, running] = newClaims(3) as [ClaimRequest, ClaimRequest, ClaimRequest]
        const overdue = newClaim({ leaseMs: 1 })
        await worker.store.claim([done, free, running, overdue])
        await worker.complete(done)
        await worker.release(free, 1)
        await time.elapse(50)
        assert.equal(sum(await sweepAll(worker.store, ALL)), 0)
        assertDone(await worker.claim(rivalOf(done)))
        assertGranted(await worker.claim(rivalOf(free)), 2, 2)
        assertRecord(await worker.inspect(overdue.id), { state: 'running', epoch: 1 })
        assert.equal(await worker.complete(running), 'ok')
        assert.equal(await worker.complete(overdue), 'ok')
      },
    },
    {
      name: 'a sweep removes a running record when lease and retention are over, and a free one likewise',
      needs: 'sweeping',
      async run({ worker, time }) {
        const [running, free] = [newClaim({ leaseMs: 1, retentionMs: 1 }), newClaim()]
        await worker.store.claim([running, free])
        await worker.release(free, 1, 1)
        await time.elapse(2)
        assert.equal(sum(await sweepAll(worker.store, ALL)), 2)
        assertGranted(await worker.claim(rivalOf(running)), 1, 1)
        assertGranted(await worker.claim(rivalOf(free)), 1, 1)
      },
    },
    {
      name: 'a renewal and a new claim save a record from the sweep',
      needs: 'sweeping',
      async run({ worker, time }) {
        const [renewed, taken] = newClaims(2).map((claim) => ({ ...claim, leaseMs: 1, retentionMs: 1 }))
        assert.ok(renewed !== undefined && taken !== undefined)
        await worker.store.claim([renewed, taken])
        await time.elapse(2)
        await worker.renew(renewed)
        await worker.claim(rivalOf(taken))
        assert.equal(sum(await sweepAll(worker.store, ALL)), 0)
        assert.equal(await worker.complete(renewed), 'ok')
      },
    },
    {
      name: 'a sweep with nothing to do removes nothing, and may be repeated',
      needs: 'sweeping',
      async run({ worker }) {
        const store = sweepingStore(worker.store)
        assert.deepEqual([await store.sweep(ALL), await store.sweep(1), await store.sweep(ALL)], [0, 0, 0])
      },
    },
    {
      name: 'a sweep at the same time as claims takes no grant away',
      needs: 'sweeping',
      async run(context) {
        const { worker, another } = context
        const other = sweepingStore((await another()).store)
        const expired = await withExpired(context, 40)
        const next = expired.map((claim) => rivalOf(claim))
        const claiming = Promise.all(next.map((claim) => worker.claim(claim)))
        const sweepers = Promise.all([other.sweep(10), other.sweep(10), other.sweep(10), other.sweep(10)])
        const answers = await claiming
        await sweepers
        assert.ok(answers.every(({ status }) => status === 'granted'))
        for (const claim of next) assert.equal(await worker.complete(claim), 'ok', 'a grant was swept away')
      },
    },
  ],
}

/** So many done records whose retention is over, among as many that stay. */
async function withExpired({ worker, time }: StoreContext, count: number): Promise<ClaimRequest[]> {
  const [expired, kept] = [newClaims(count), newClaims(count)]
  await worker.store.claim(expired)
  await worker.store.claim(kept)
  for (const claim of expired) await worker.complete(claim, { retentionMs: 1 })
  for (const claim of kept) await worker.complete(claim, { retentionMs: LONG_MS })
  await time.elapse(2)
  return expired
}

async function sweepAll(store: Store, limit: number): Promise<number[]> {
  const counts: number[] = []
  for (let round = 0; round < SWEEPS_MAX; round += 1) {
    const count = await sweepingStore(store).sweep(limit)
    counts.push(count)
    if (count < limit) return counts
  }
  return assert.fail(`a sweep still finds ${limit} expired records after ${SWEEPS_MAX} rounds`)
}

function sweepingStore(store: Store): SweepingStore {
  assert.ok(isSweeping(store))
  return store
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0)
}
