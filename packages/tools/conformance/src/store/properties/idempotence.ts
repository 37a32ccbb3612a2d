import assert from 'node:assert/strict'
import type { ClaimRequest } from '@oncemq/core/store'
import { assertGranted, lasting } from '../answers.ts'
import type { StoreProperty } from '../property.ts'
import { newClaim, newClaims, rivalOf } from '../requests.ts'
import type { StoreWorker } from '../worker.ts'

/** The core repeats a call whose outcome it does not know, on the same or on another connection. */
export const idempotence: StoreProperty = {
  name: 'idempotence',
  cases: [
    {
      name: 'a repeated claim changes nothing but the lease',
      async run({ worker, another }) {
        const first = newClaim({ label: 'billing:1' })
        await assertRepeatable(worker, await another(), first, async (by) => {
          assertGranted(await by.claim(first), 1, 1)
        })
      },
    },
    {
      name: 'a repeated renewal changes nothing but the lease',
      async run({ worker, another }) {
        const first = newClaim()
        await worker.claim(first)
        await assertRepeatable(worker, await another(), first, async (by) => {
          assert.equal(await by.renew(first), 'ok')
        })
      },
    },
    {
      name: 'a repeated completion is ok and changes nothing',
      async run({ worker, another }) {
        const first = newClaim()
        await worker.claim(first)
        await assertRepeatable(worker, await another(), first, async (by) => {
          assert.equal(await by.complete(first, { result: Buffer.from('receipt') }), 'ok')
        })
      },
    },
    {
      name: 'a repeated release is lost and changes nothing',
      async run({ worker, another }) {
        const [first, other] = [newClaim(), await another()]
        await worker.claim(first)
        assert.equal(await worker.release(first, 7), 'ok')
        const before = lasting(await worker.inspect(first.id))
        assert.equal(await other.release(first, 9), 'lost')
        assert.deepEqual(lasting(await worker.inspect(first.id)), before)
        assertGranted(await worker.claim(rivalOf(first)), 2, 8)
      },
    },
    {
      name: 'a repeated forget changes nothing',
      async run({ worker, another }) {
        const first = newClaim()
        await worker.claim(first)
        await assertRepeatable(worker, await another(), first, (by) => by.forget(first.id))
      },
    },
    {
      name: 'a batch that is repeated in parts, and with new entries among them, is the same grants',
      async run({ worker, another }) {
        const [claims, added, other] = [newClaims(10), newClaims(5), await another()]
        await worker.store.claim(claims)
        const again = [...claims.slice(5), ...added, ...claims.slice(0, 5)]
        for (const answer of await other.store.claim(again)) assertGranted(answer, 1, 1)
      },
    },
  ],
}

async function assertRepeatable(
  worker: StoreWorker,
  other: StoreWorker,
  { id }: ClaimRequest,
  call: (by: StoreWorker) => Promise<void>,
): Promise<void> {
  await call(worker)
  const before = lasting(await worker.inspect(id))
  await call(worker)
  await call(other)
  assert.deepEqual(lasting(await worker.inspect(id)), before)
}
