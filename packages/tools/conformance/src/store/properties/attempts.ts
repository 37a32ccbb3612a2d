import assert from 'node:assert/strict'
import { assertGranted, assertRecord } from '../answers.ts'
import { isSweeping } from '../capabilities.ts'
import type { StoreProperty } from '../property.ts'
import { newClaim, rivalOf } from '../requests.ts'

export const attempts: StoreProperty = {
  name: 'attempts',
  cases: [
    {
      name: 'attempts count on over take-overs and releases',
      async run({ worker, another, time }) {
        const [first, other] = [newClaim(), await another()]
        assertGranted(await worker.claim(first), 1, 1)
        await worker.release(first, 1)
        const second = rivalOf(first, { leaseMs: 1 })
        assertGranted(await other.claim(second), 2, 2)
        await time.elapse(1)
        const third = rivalOf(first)
        assertGranted(await worker.claim(third), 3, 3)
        await worker.release(third, 3)
        assertGranted(await other.claim(rivalOf(first)), 4, 4)
      },
    },
    {
      name: 'a release says what the attempts become, and the epoch goes on',
      async run({ worker }) {
        const first = newClaim()
        await worker.claim(first)
        await worker.release(first, 0)
        assertRecord(await worker.inspect(first.id), { state: 'free', epoch: 1, attempts: 0 })
        const second = rivalOf(first)
        assertGranted(await worker.claim(second), 2, 1)
        await worker.release(second, 1000)
        assertGranted(await worker.claim(rivalOf(first)), 3, 1001)
      },
    },
    {
      name: 'attempts start afresh after done, and the epoch goes on',
      async run({ worker, time }) {
        const first = newClaim()
        await worker.claim(first)
        await worker.release(first, 5)
        const second = rivalOf(first)
        assertGranted(await worker.claim(second), 2, 6)
        await worker.complete(second, { retentionMs: 1 })
        await time.elapse(1)
        const answer = await worker.claim(rivalOf(first))
        // A store whose records go away by themselves may have begun anew.
        const epoch = !isSweeping(worker.store) && answer.status === 'granted' && answer.epoch === 1 ? 1 : 3
        assertGranted(answer, epoch, 1)
      },
    },
    {
      name: 'neither a renewal nor a busy claim nor a repeated claim is an attempt',
      async run({ worker }) {
        const first = newClaim()
        await worker.claim(first)
        await worker.renew(first)
        await worker.claim(rivalOf(first))
        assertGranted(await worker.claim(first), 1, 1)
        assertRecord(await worker.inspect(first.id), { epoch: 1, attempts: 1 })
        await worker.release(first, 1)
        const second = await worker.claim(rivalOf(first))
        assert.equal(second.status === 'granted' && second.attempt, 2)
      },
    },
  ],
}
