import assert from 'node:assert/strict'
import type { ClaimRequest } from '@oncemq/core/store'
import { assertBusy, assertDone, assertGranted, assertRecord } from '../answers.ts'
import { isSweeping } from '../capabilities.ts'
import type { StoreContext } from '../context.ts'
import type { StoreProperty } from '../property.ts'
import { newClaim, rivalOf } from '../requests.ts'
import { LONG_MS } from '../worker.ts'

const RETENTION_MS = 250
const DRIFT_MS = 5

export const retention: StoreProperty = {
  name: 'retention',
  cases: [
    {
      name: 'done stays done until its retention is over, and no longer',
      async run(context) {
        const { worker, another, time, guarantees } = context
        const [first, other] = [newClaim({ leaseMs: 1, retentionMs: LONG_MS }), await another()]
        await worker.claim(first)
        const sentMs = time.nowMs()
        await worker.complete(first, { retentionMs: RETENTION_MS })
        const answer = await time.until('a grant after the retention', async () => {
          const found = await other.claim(rivalOf(first))
          if (found.status === 'granted') return found
          assertDone(found)
          return undefined
        })
        const keptMs = time.nowMs() - sentMs
        const leastMs = RETENTION_MS - guarantees.expiryGranularityMs - DRIFT_MS
        assert.ok(
          keptMs >= leastMs,
          `done for ${RETENTION_MS} ms was forgotten after ${Math.floor(keptMs)} ms`,
        )
        assertGranted(answer, epochAfter(context, answer.epoch, 2), 1)
      },
    },
    {
      name: 'the lease does not end what is done',
      async run({ worker, time }) {
        const first = newClaim({ leaseMs: 1, retentionMs: RETENTION_MS })
        await worker.claim(first)
        const { status } = await worker.claim(first)
        assert.equal(status, 'granted')
        assert.equal(await worker.complete(first, { retentionMs: LONG_MS }), 'ok')
        await time.elapse(RETENTION_MS + 50)
        assertDone(await worker.claim(rivalOf(first)))
      },
    },
    {
      name: 'the retention does not lengthen the lease',
      async run({ worker, time }) {
        const first = newClaim({ leaseMs: 1, retentionMs: LONG_MS })
        await worker.claim(first)
        await time.elapse(1)
        assertGranted(await worker.claim(rivalOf(first)), 2, 2)
      },
    },
    {
      name: 'a completion tells when the record may be swept: its own retention, from now',
      async run({ worker }) {
        const first = newClaim()
        await worker.claim(first)
        await worker.complete(first, { retentionMs: 10 * LONG_MS })
        await assertExpiresWithin(worker.inspect(first.id), 9 * LONG_MS, 10 * LONG_MS)
      },
    },
    {
      name: 'a free record keeps its epoch and attempts',
      async run({ worker, time }) {
        const first = newClaim({ leaseMs: 1 })
        await worker.claim(first)
        await worker.release(first, 1, 10 * LONG_MS)
        await assertExpiresWithin(worker.inspect(first.id), 9 * LONG_MS, 10 * LONG_MS)
        await time.elapse(50)
        assertRecord(await worker.inspect(first.id), { state: 'free', epoch: 1, attempts: 1 })
        assertGranted(await worker.claim(rivalOf(first)), 2, 2)
      },
    },
    {
      name: 'an id runs, is done and expires again and again',
      async run(context) {
        const { worker, time } = context
        let next: ClaimRequest = newClaim()
        for (let round = 1; round <= 3; round += 1) {
          const answer = await worker.claim(next)
          assert.ok(answer.status === 'granted', `round ${round}: ${answer.status}`)
          assertGranted(answer, epochAfter(context, answer.epoch, round), 1)
          assertBusy(await worker.claim(rivalOf(next)), answer.epoch, LONG_MS)
          assert.equal(await worker.complete(next, { retentionMs: 1 }), 'ok')
          await time.elapse(1)
          next = rivalOf(next)
        }
      },
    },
    {
      name: 'months of retention are kept',
      async run({ worker }) {
        const first = newClaim()
        const yearMs = 365 * 24 * LONG_MS
        await worker.claim(first)
        await worker.complete(first, { retentionMs: yearMs })
        await assertExpiresWithin(worker.inspect(first.id), yearMs - LONG_MS, yearMs)
        assertDone(await worker.claim(rivalOf(first)))
      },
    },
  ],
}

/** The epoch goes on while the record lives; a store whose records go away by themselves may begin anew. */
function epochAfter({ worker }: StoreContext, actual: number, expected: number): number {
  return !isSweeping(worker.store) && actual < expected ? actual : expected
}

async function assertExpiresWithin(
  inspecting: Promise<{ expiresInMs: number } | undefined>,
  leastMs: number,
  mostMs: number,
): Promise<void> {
  const expiresInMs = (await inspecting)?.expiresInMs
  assert.ok(
    expiresInMs !== undefined && expiresInMs > leastMs && expiresInMs <= mostMs,
    `expected an expiry in ${leastMs} to ${mostMs} ms, received ${expiresInMs}`,
  )
}
