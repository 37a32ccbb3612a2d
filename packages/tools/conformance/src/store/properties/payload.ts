import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { assertDone, assertRecord } from '../answers.ts'
import type { StoreProperty } from '../property.ts'
import { newClaim, newHex, rivalOf } from '../requests.ts'

const MEGABYTE = 1024 * 1024

export const payload: StoreProperty = {
  name: 'fingerprints and results',
  cases: [
    {
      name: 'a duplicate gets the fingerprint of the claim that completed',
      async run({ worker, another, time }) {
        const first = newClaim({ leaseMs: 1 })
        const second = rivalOf(first, { fingerprint: newHex() })
        const other = await another()
        await worker.claim(first)
        await time.elapse(1)
        await other.claim(second)
        await other.complete(second)
        const { fingerprint } = second
        assertDone(await worker.claim(rivalOf(first, { fingerprint: newHex() })), { fingerprint })
        assertRecord(await worker.inspect(first.id), { fingerprint })
      },
    },
    {
      name: 'a fingerprint is all of its digits, also leading zeros',
      async run({ worker }) {
        for (const fingerprint of ['0'.repeat(32), `${'0'.repeat(31)}1`, 'f'.repeat(32)]) {
          const first = newClaim({ fingerprint })
          await worker.claim(first)
          await worker.complete(first)
          assertDone(await worker.claim(rivalOf(first)), { fingerprint })
        }
      },
    },
    {
      name: 'without a fingerprint there is none, whatever was there before',
      async run({ worker }) {
        const first = newClaim({ fingerprint: newHex(), label: 'billing' })
        await worker.claim(first)
        await worker.release(first)
        const second = rivalOf(first)
        await worker.claim(second)
        assertRecord(await worker.inspect(first.id), { fingerprint: undefined, label: undefined })
        await worker.complete(second)
        assertDone(await worker.claim(rivalOf(first)))
      },
    },
    {
      name: 'a result comes back byte by byte',
      async run({ worker, another }) {
        const [first, other] = [newClaim(), await another()]
        const result = Uint8Array.from({ length: 256 }, (_, byte) => byte)
        await worker.claim(first)
        await worker.complete(first, { result })
        assertDone(await other.claim(rivalOf(first)), { result })
        assertRecord(await other.inspect(first.id), { result })
      },
    },
    {
      name: 'an empty result is a result, and none is none',
      async run({ worker }) {
        const [empty, none] = [newClaim(), newClaim()]
        await worker.claim(empty)
        await worker.claim(none)
        await worker.complete(empty, { result: new Uint8Array(0) })
        await worker.complete(none)
        assertDone(await worker.claim(rivalOf(empty)), { result: new Uint8Array(0) })
        assertDone(await worker.claim(rivalOf(none)), { result: undefined })
      },
    },
    {
      name: 'a result of a megabyte is kept',
      async run({ worker, another }) {
        const [first, other] = [newClaim(), await another()]
        const result = randomBytes(MEGABYTE)
        await worker.claim(first)
        await worker.complete(first, { result })
        assertDone(await other.claim(rivalOf(first)), { result })
      },
    },
    {
      name: 'a part of a larger buffer is kept as that part, and later writes to it do not matter',
      async run({ worker }) {
        const first = newClaim()
        const whole = Buffer.from('before the result after')
        const expected = Buffer.from('the result')
        await worker.claim(first)
        await worker.complete(first, { result: whole.subarray(7, 17) })
        whole.fill(0)
        const answer = await worker.claim(rivalOf(first))
        assertDone(answer, { result: expected })
        if (answer.status === 'done') answer.result?.fill(0)
        assertDone(await worker.claim(rivalOf(first)), { result: expected })
      },
    },
    {
      name: 'the result of the last completion is gone when the id runs again',
      async run({ worker, time }) {
        const first = newClaim()
        await worker.claim(first)
        await worker.complete(first, { result: Buffer.from('old'), retentionMs: 1 })
        await time.elapse(1)
        const second = rivalOf(first)
        await worker.claim(second)
        assertRecord(await worker.inspect(first.id), { state: 'running', result: undefined })
        assert.equal(await worker.complete(second), 'ok')
        assertDone(await worker.claim(rivalOf(first)))
      },
    },
  ],
}
