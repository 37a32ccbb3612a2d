import assert from 'node:assert/strict'
import { assertGranted, assertRecord } from '../answers.ts'
import type { StoreProperty } from '../property.ts'
import { newClaim } from '../requests.ts'

export const closing: StoreProperty = {
  name: 'open and close',
  cases: [
    {
      name: 'open and close may be repeated, and open works again after close',
      async run({ worker }) {
        await worker.store.open()
        await worker.store.open()
        assertGranted(await worker.claim(newClaim()), 1, 1)
        await worker.store.close()
        await worker.store.close()
        await worker.store.open()
        assertGranted(await worker.claim(newClaim()), 1, 1)
      },
    },
    {
      name: 'many handles may open a new namespace at once',
      async run({ another }) {
        const workers = await Promise.all(Array.from({ length: 5 }, () => another()))
        for (const worker of workers) assertGranted(await worker.claim(newClaim()), 1, 1)
      },
    },
    {
      name: 'opening changes no record',
      async run({ worker, another }) {
        const first = newClaim({ label: 'stays' })
        await worker.claim(first)
        const other = await another()
        await worker.store.open()
        assertRecord(await other.inspect(first.id), {
          state: 'running',
          epoch: 1,
          attempts: 1,
          label: 'stays',
        })
        assert.equal(await worker.complete(first), 'ok')
      },
    },
    {
      name: 'one handle that closes does not disturb another',
      async run({ worker, another }) {
        const [first, other] = [newClaim(), await another()]
        await worker.claim(first)
        await worker.store.close()
        assertRecord(await other.inspect(first.id), { state: 'running' })
        assert.equal(await other.complete(first), 'ok')
      },
    },
    {
      name: 'what was answered is there after the last handle closed and another opened',
      needs: 'durable',
      async run({ worker, another }) {
        const [running, done, free] = [newClaim({ label: 'runs' }), newClaim(), newClaim()]
        await worker.store.claim([running, done, free])
        const result = Buffer.from('receipt')
        await worker.complete(done, { result })
        await worker.release(free, 3)
        await worker.store.close()
        const later = await another()
        assertRecord(await later.inspect(running.id), {
          state: 'running',
          epoch: 1,
          attempts: 1,
          label: 'runs',
        })
        assertRecord(await later.inspect(done.id), { state: 'done', epoch: 1, result })
        assertRecord(await later.inspect(free.id), { state: 'free', epoch: 1, attempts: 3 })
        assert.equal(await later.complete(running), 'ok')
      },
    },
  ],
}
