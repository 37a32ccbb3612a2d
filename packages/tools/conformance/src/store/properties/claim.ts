import assert from 'node:assert/strict'
import { assertBusy, assertDone, assertGranted, assertRecord, lasting } from '../answers.ts'
import type { StoreProperty } from '../property.ts'
import { newClaim, rivalOf } from '../requests.ts'
import { LONG_MS } from '../worker.ts'

export const claim: StoreProperty = {
  name: 'claim',
  cases: [
    {
      name: 'a new id is granted with epoch 1 and attempt 1',
      async run({ worker }) {
        const first = newClaim()
        assertGranted(await worker.claim(first), 1, 1)
        assertRecord(await worker.inspect(first.id), { state: 'running', epoch: 1, attempts: 1 })
      },
    },
    {
      name: 'an id that runs is busy for every other claim, and stays as it is',
      async run({ worker, another }) {
        const first = newClaim({ fingerprint: 'a'.repeat(32), label: 'first' })
        await worker.claim(first)
        const before = lasting(await worker.inspect(first.id))
        const other = await another()
        assertBusy(await worker.claim(rivalOf(first)), 1, LONG_MS)
        assertBusy(await other.claim(rivalOf(first, { label: 'second' })), 1, LONG_MS)
        assert.deepEqual(lasting(await other.inspect(first.id)), before)
        assert.equal(await worker.complete(first), 'ok')
      },
    },
    {
      name: 'an id that is done is a duplicate for every claim, its own included',
      async run({ worker, another }) {
        const first = newClaim()
        await worker.claim(first)
        await worker.complete(first)
        const other = await another()
        assertDone(await worker.claim(rivalOf(first)))
        assertDone(await other.claim(rivalOf(first)))
        assertDone(await worker.claim(first))
        assertRecord(await other.inspect(first.id), { state: 'done', epoch: 1, leaseRemainingMs: 0 })
      },
    },
    {
      name: 'a released id is granted to the next with the next epoch',
      async run({ worker, another }) {
        const [first, other] = [newClaim(), await another()]
        await worker.claim(first)
        assert.equal(await worker.release(first), 'ok')
        assertRecord(await other.inspect(first.id), {
          state: 'free',
          epoch: 1,
          attempts: 1,
          leaseRemainingMs: 0,
        })
        const second = rivalOf(first)
        assertGranted(await other.claim(second), 2, 2)
        assertBusy(await worker.claim(rivalOf(first)), 2, LONG_MS)
        assert.equal(await other.release(second, 2), 'ok')
        assertGranted(await worker.claim(rivalOf(first)), 3, 3)
      },
    },
    {
      name: 'a claim that is repeated is the same grant',
      async run({ worker, another }) {
        const [first, other] = [newClaim(), await another()]
        assertGranted(await worker.claim(first), 1, 1)
        assertGranted(await worker.claim(first), 1, 1)
        assertGranted(await other.claim(first), 1, 1)
        assertBusy(await other.claim(rivalOf(first)), 1, LONG_MS)
      },
    },
    {
      name: 'the record of a grant tells when it may be swept: lease plus retention',
      async run({ worker, guarantees }) {
        const leaseMs = 60_000
        const first = newClaim({ leaseMs, retentionMs: LONG_MS })
        await worker.claim(first)
        const record = await worker.inspect(first.id)
        assert.ok(record !== undefined)
        const { leaseRemainingMs, expiresInMs } = record
        const step = guarantees.expiryGranularityMs
        assert.ok(
          leaseRemainingMs > leaseMs / 2 && leaseRemainingMs <= leaseMs,
          `lease: ${leaseRemainingMs} ms`,
        )
        const retentionMs = expiresInMs - leaseRemainingMs
        assert.ok(
          Math.abs(retentionMs - LONG_MS) <= step,
          `the record outlives its lease by ${retentionMs} ms`,
        )
      },
    },
  ],
}
