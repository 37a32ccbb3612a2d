import assert from 'node:assert/strict'
import { assertGranted, assertRecord, lasting } from '../answers.ts'
import type { StoreProperty } from '../property.ts'
import { newClaim, newHex, rivalOf } from '../requests.ts'

export const operators: StoreProperty = {
  name: 'inspect and forget',
  cases: [
    {
      name: 'an id without a record is undefined, and inspecting makes none',
      async run({ worker }) {
        const unknown = newClaim()
        assert.equal(await worker.inspect(unknown.id), undefined)
        assert.equal(await worker.inspect(unknown.id), undefined)
        assertGranted(await worker.claim(unknown), 1, 1)
      },
    },
    {
      name: 'inspecting shows the record and changes nothing',
      async run({ worker, another }) {
        const first = newClaim({ fingerprint: newHex(), label: 'billing:1' })
        const { fingerprint, label } = first
        const other = await another()
        await worker.claim(first)
        const running = {
          state: 'running',
          epoch: 1,
          attempts: 1,
          fingerprint,
          label,
          result: undefined,
        } as const
        for (const by of [worker, other, worker]) assertRecord(await by.inspect(first.id), running)
        const result = Buffer.from('receipt')
        assert.equal(await worker.complete(first, { result }), 'ok')
        const done = { state: 'done', epoch: 1, fingerprint, label, result, leaseRemainingMs: 0 } as const
        for (const by of [worker, other, worker]) assertRecord(await by.inspect(first.id), done)
      },
    },
    {
      name: 'inspecting an expired record leaves it to the next claim',
      async run({ worker, time }) {
        const first = newClaim({ leaseMs: 1 })
        await worker.claim(first)
        await time.elapse(1)
        for (let count = 0; count < 3; count += 1) {
          assertRecord(await worker.inspect(first.id), { state: 'running', epoch: 1, attempts: 1 })
        }
        assertGranted(await worker.claim(rivalOf(first)), 2, 2)
      },
    },
    {
      name: 'forgetting removes a record of any state: the next claim is its first',
      async run({ worker, another }) {
        const other = await another()
        const [running, done, free] = [newClaim(), newClaim(), newClaim()]
        await worker.store.claim([running, done, free])
        await worker.complete(done, { result: Buffer.from('old') })
        await worker.release(free, 5)
        await other.store.forget([running.id, done.id, free.id])
        for (const claim of [running, done, free]) {
          assert.equal(await worker.inspect(claim.id), undefined)
          const next = rivalOf(claim)
          assertGranted(await worker.claim(next), 1, 1)
          assertRecord(await worker.inspect(claim.id), { state: 'running', result: undefined })
        }
      },
    },
    {
      name: 'a forgotten claim is lost to its owner',
      async run({ worker }) {
        const first = newClaim()
        await worker.claim(first)
        await worker.forget(first.id)
        assert.equal(await worker.renew(first), 'lost')
        assert.equal(await worker.complete(first), 'lost')
        assert.equal(await worker.release(first), 'lost')
        assert.equal(await worker.inspect(first.id), undefined)
      },
    },
    {
      name: 'forgetting leaves all other records as they are, and does not mind unknown ids',
      async run({ worker }) {
        const [first, second] = [newClaim(), newClaim({ label: 'stays' })]
        await worker.store.claim([first, second])
        const before = lasting(await worker.inspect(second.id))
        await worker.store.forget([newHex(), first.id, newHex()])
        assert.deepEqual(lasting(await worker.inspect(second.id)), before)
        assert.equal(await worker.complete(second), 'ok')
      },
    },
  ],
}
