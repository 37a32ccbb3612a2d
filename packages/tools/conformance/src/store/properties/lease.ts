import assert from 'node:assert/strict'
import type { ClaimAnswer, ClaimRequest } from '@oncemq/core/store'
import { assertBusy, assertGranted, assertRecord } from '../answers.ts'
import type { StoreContext } from '../context.ts'
import type { StoreProperty } from '../property.ts'
import { newClaim, rivalOf } from '../requests.ts'
import { LONG_MS, type StoreWorker } from '../worker.ts'

/** Short, and longer than an answer takes on a busy machine. */
const LEASE_MS = 250
/** Two clocks may run apart a little. */
const DRIFT_MS = 5

export const lease: StoreProperty = {
  name: 'lease',
  cases: [
    {
      name: 'a claim is granted to another when its lease is over, and not before',
      async run({ worker, another, time, guarantees }) {
        const [first, other] = [newClaim({ leaseMs: LEASE_MS }), await another()]
        const sentMs = time.nowMs()
        await worker.claim(first)
        const answer = await time.until('a grant after the lease', () => grantOf(other, rivalOf(first)))
        const heldMs = time.nowMs() - sentMs
        const leastMs = LEASE_MS - guarantees.expiryGranularityMs - DRIFT_MS
        assert.ok(
          heldMs >= leastMs,
          `a lease of ${LEASE_MS} ms was taken over after ${Math.floor(heldMs)} ms`,
        )
        assertGranted(answer, 2, 2)
        assert.equal(await worker.complete(first), 'lost')
      },
    },
    {
      name: 'at the very end of its lease a claim can be taken over',
      async run({ worker, another, time }) {
        const [first, other] = [newClaim({ leaseMs: 1 }), await another()]
        await worker.claim(first)
        await time.elapse(1)
        assertGranted(await other.claim(rivalOf(first)), 2, 2)
      },
    },
    {
      name: 'a running record outlives its lease with its epoch and attempts',
      async run({ worker, time }) {
        const first = newClaim({ leaseMs: 1 })
        await worker.claim(first)
        await time.elapse(50)
        const record = await worker.inspect(first.id)
        assertRecord(record, { state: 'running', epoch: 1, attempts: 1 })
        assert.ok(record !== undefined && record.leaseRemainingMs <= 0 && record.expiresInMs > LONG_MS / 2)
      },
    },
    {
      name: 'a renewal holds the claim past its first lease',
      async run({ worker, another, time }) {
        const [first, other] = [newClaim({ leaseMs: LEASE_MS }), await another()]
        await worker.claim(first)
        assert.equal(await worker.renew(first), 'ok')
        await time.elapse(LEASE_MS)
        assertBusy(await other.claim(rivalOf(first)), 1, LONG_MS)
        assertRecord(await worker.inspect(first.id), { state: 'running', epoch: 1, attempts: 1 })
      },
    },
    {
      name: 'a renewal may also shorten the lease: it counts from now',
      async run({ worker, another, time }) {
        const [first, other] = [newClaim(), await another()]
        await worker.claim(first)
        assert.equal(await worker.renew(first, 1), 'ok')
        await time.elapse(1)
        assertGranted(await other.claim(rivalOf(first)), 2, 2)
      },
    },
    {
      name: 'after its end a lease is renewed if nobody took over',
      async run(context) {
        const { first, other } = await withLeaseOver(context)
        assert.equal(await context.worker.renew(first), 'ok')
        assertBusy(await other.claim(rivalOf(first)), 1, LONG_MS)
      },
    },
    {
      name: 'after its end a claim is completed if nobody took over',
      async run(context) {
        const { first, other } = await withLeaseOver(context)
        assert.equal(await context.worker.complete(first), 'ok')
        assertRecord(await other.inspect(first.id), { state: 'done', epoch: 1 })
      },
    },
    {
      name: 'after its end a claim is released if nobody took over',
      async run(context) {
        const { first, other } = await withLeaseOver(context)
        assert.equal(await context.worker.release(first), 'ok')
        assertGranted(await other.claim(rivalOf(first)), 2, 2)
      },
    },
    {
      name: 'a claim that is repeated starts its lease anew, also after its end, with the same epoch',
      async run(context) {
        const { first, other } = await withLeaseOver(context)
        assertGranted(await context.worker.claim({ ...first, leaseMs: LONG_MS }), 1, 1)
        assertBusy(await other.claim(rivalOf(first)), 1, LONG_MS)
      },
    },
    {
      name: 'an epoch rises by one with each take-over',
      async run({ worker, another, time }) {
        const [first, other] = [newClaim({ leaseMs: 1 }), await another()]
        for (let epoch = 1; epoch <= 5; epoch += 1) {
          const next = rivalOf(first, { leaseMs: 1 })
          assertGranted(await (epoch % 2 === 0 ? other : worker).claim(next), epoch, epoch)
          await time.elapse(1)
        }
      },
    },
  ],
}

async function withLeaseOver({ worker, another, time }: StoreContext) {
  const [first, other] = [newClaim({ leaseMs: 1 }), await another()]
  await worker.claim(first)
  await time.elapse(1)
  return { first, other }
}

async function grantOf(worker: StoreWorker, request: ClaimRequest): Promise<ClaimAnswer | undefined> {
  const answer = await worker.claim(request)
  return answer.status === 'granted' ? answer : undefined
}
