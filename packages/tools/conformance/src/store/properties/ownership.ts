import assert from 'node:assert/strict'
import type { ClaimRequest } from '@oncemq/core/store'
import { assertDone, lasting } from '../answers.ts'
import type { StoreProperty } from '../property.ts'
import { newClaim, rivalOf } from '../requests.ts'
import type { StoreWorker } from '../worker.ts'

export const ownership: StoreProperty = {
  name: 'ownership',
  cases: [
    {
      name: 'a foreign claim id changes nothing',
      async run({ worker, another }) {
        const [first, other] = [newClaim(), await another()]
        await worker.claim(first)
        await assertLost(other, rivalOf(first))
        assert.equal(await worker.complete(first), 'ok')
      },
    },
    {
      name: 'the claim id before a take-over changes nothing',
      async run({ worker, another, time }) {
        const [first, other] = [newClaim({ leaseMs: 1 }), await another()]
        await worker.claim(first)
        await time.elapse(1)
        const second = rivalOf(first)
        await other.claim(second)
        await assertLost(worker, first)
        assert.equal(await other.complete(second), 'ok')
      },
    },
    {
      name: 'the claim id before a release changes nothing, neither while free nor after the next claim',
      async run({ worker, another }) {
        const [first, other] = [newClaim(), await another()]
        await worker.claim(first)
        await worker.release(first)
        await assertLost(worker, first)
        await other.claim(rivalOf(first))
        await assertLost(worker, first)
      },
    },
    {
      name: 'a done record is completed again by its own claim alone',
      async run({ worker, another }) {
        const [first, other] = [newClaim(), await another()]
        await worker.claim(first)
        const result = Buffer.from('receipt')
        await worker.complete(first, { result })
        await assertLost(other, rivalOf(first))
        assert.equal(await other.complete(first, { result }), 'ok')
        assertDone(await worker.claim(rivalOf(first)), { result })
      },
    },
    {
      name: 'a done record is neither renewed nor released, by its own claim either',
      async run({ worker }) {
        const first = newClaim()
        await worker.claim(first)
        await worker.complete(first)
        const before = lasting(await worker.inspect(first.id))
        assert.equal(await worker.renew(first), 'lost')
        assert.equal(await worker.release(first), 'lost')
        assert.deepEqual(lasting(await worker.inspect(first.id)), before)
      },
    },
    {
      name: 'an update of an id without a record is lost and makes none',
      async run({ worker }) {
        const unknown = newClaim()
        await assertLost(worker, unknown)
        assert.equal(await worker.inspect(unknown.id), undefined)
      },
    },
    {
      name: 'one id does not answer for another with the same claim id',
      async run({ worker }) {
        const first = newClaim()
        const second = newClaim({ claimId: first.claimId })
        await worker.claim(first)
        await assertLost(worker, second)
        await worker.claim(second)
        assert.equal(await worker.complete(second), 'ok')
        assert.equal(await worker.renew(first), 'ok')
      },
    },
  ],
}

async function assertLost(worker: StoreWorker, claim: ClaimRequest): Promise<void> {
  const before = await worker.inspect(claim.id)
  assert.equal(await worker.renew(claim), 'lost', 'a renewal by another claim is lost')
  assert.equal(
    await worker.complete(claim, { result: Buffer.from('foreign') }),
    'lost',
    'a foreign completion is lost',
  )
  assert.equal(await worker.release(claim, 0), 'lost', 'a release by another claim is lost')
  const after = await worker.inspect(claim.id)
  assert.deepEqual(lasting(after), lasting(before), 'what is lost changes nothing')
  if (before === undefined || after === undefined) return
  assert.ok(after.leaseRemainingMs <= before.leaseRemainingMs, 'what is lost does not extend the lease')
  assert.ok(after.expiresInMs <= before.expiresInMs, 'what is lost does not extend the retention')
}
