import assert from 'node:assert/strict'
import type { StoredRecord } from '@oncemq/core/store'
import { assertBusy, assertConflict, assertDone, assertGranted, assertRecord, lasting } from '../answers.ts'
import type { StoreProperty } from '../property.ts'
import { newClaim, newHex, rivalOf } from '../requests.ts'
import { LONG_MS, type StoreWorker } from '../worker.ts'

export const conflict: StoreProperty = {
  name: 'conflict',
  cases: [
    {
      name: 'an id that runs is in conflict with another payload, and stays as it is',
      async run({ worker, another }) {
        const first = newClaim({ fingerprint: newHex(), label: 'first' })
        await worker.claim(first)
        const before = await worker.inspect(first.id)
        for (const by of [worker, await another()]) {
          assertConflict(await by.claim(rivalOf(first, { fingerprint: newHex(), label: 'other' })))
          // One that differs in the last digit alone is another one too.
          const last = first.fingerprint?.endsWith('0') ? '1' : '0'
          assertConflict(
            await by.claim(rivalOf(first, { fingerprint: first.fingerprint?.slice(0, 31) + last })),
          )
        }
        await assertUnchanged(worker, first.id, before)
        assert.equal(await worker.complete(first), 'ok')
      },
    },
    {
      name: 'a lease that is over does not let another payload in, until the record has expired',
      async run({ worker, time }) {
        const first = newClaim({ leaseMs: 1, retentionMs: LONG_MS, fingerprint: newHex() })
        await worker.claim(first)
        await time.elapse(1)
        const before = await worker.inspect(first.id)
        assertConflict(await worker.claim(rivalOf(first, { fingerprint: newHex() })))
        await assertUnchanged(worker, first.id, before)
        const again = rivalOf(first, { fingerprint: first.fingerprint })
        assertGranted(await worker.claim(again), 2, 2)
      },
    },
    {
      name: 'a released id keeps its payload and its attempts: others cannot use them up',
      async run({ worker, another }) {
        const [first, other] = [newClaim({ fingerprint: newHex() }), await another()]
        await worker.claim(first)
        await worker.release(first, 1)
        const before = await worker.inspect(first.id)
        for (let impostor = 0; impostor < 3; impostor += 1) {
          assertConflict(await other.claim(rivalOf(first, { fingerprint: newHex() })))
        }
        await assertUnchanged(worker, first.id, before)
        assertGranted(await other.claim(rivalOf(first, { fingerprint: first.fingerprint })), 2, 2)
      },
    },
    {
      name: 'the same payload, or one that is not known, is busy where it runs and granted where it is free',
      async run({ worker }) {
        const known = newClaim({ fingerprint: newHex() })
        await worker.claim(known)
        assertBusy(await worker.claim(rivalOf(known, { fingerprint: known.fingerprint })), 1, LONG_MS)
        assertBusy(await worker.claim(rivalOf(known)), 1, LONG_MS)
        await worker.release(known)
        assertGranted(await worker.claim(rivalOf(known)), 2, 2)
        const unknown = newClaim()
        await worker.claim(unknown)
        assertBusy(await worker.claim(rivalOf(unknown, { fingerprint: newHex() })), 1, LONG_MS)
        await worker.release(unknown)
        const fingerprint = newHex()
        assertGranted(await worker.claim(rivalOf(unknown, { fingerprint })), 2, 2)
        assertRecord(await worker.inspect(unknown.id), { fingerprint })
        assertConflict(await worker.claim(rivalOf(unknown, { fingerprint: newHex() })))
      },
    },
    {
      name: 'a claim that is repeated is the same grant, and what is done is done, whatever the payload',
      async run({ worker }) {
        const first = newClaim({ fingerprint: newHex() })
        await worker.claim(first)
        assertGranted(await worker.claim({ ...first, fingerprint: newHex() }), 1, 1)
        await worker.complete(first)
        const { fingerprint } = first
        assertDone(await worker.claim(rivalOf(first, { fingerprint: newHex() })), { fingerprint })
      },
    },
    {
      name: 'a free record that has expired is granted to any payload',
      async run({ worker, time }) {
        const first = newClaim({ fingerprint: newHex() })
        await worker.claim(first)
        await worker.release(first, 1, 1)
        await time.elapse(1)
        const second = rivalOf(first, { fingerprint: newHex() })
        const { status } = await worker.claim(second)
        assert.equal(status, 'granted')
        assertRecord(await worker.inspect(first.id), { fingerprint: second.fingerprint })
      },
    },
    {
      name: 'answers stand at their positions, conflicts among others',
      async run({ worker: { store } }) {
        const running = newClaim({ fingerprint: newHex() })
        const free = newClaim({ fingerprint: newHex() })
        await store.claim([running, free])
        const { id, claimId } = free
        await store.update([{ op: 'release', id, claimId, retentionMs: LONG_MS, attempts: 1 }])
        const batch = [
          newClaim({ fingerprint: newHex() }),
          rivalOf(running, { fingerprint: newHex() }),
          rivalOf(free, { fingerprint: newHex() }),
          newClaim(),
        ]
        const statuses = (await store.claim(batch)).map(({ status }) => status)
        assert.deepEqual(statuses, ['granted', 'conflict', 'conflict', 'granted'])
      },
    },
  ],
}

async function assertUnchanged(worker: StoreWorker, id: string, before?: StoredRecord): Promise<void> {
  const now = await worker.inspect(id)
  assert.deepEqual(lasting(now), lasting(before))
  for (const field of ['leaseRemainingMs', 'expiresInMs'] as const) {
    const [nowMs, beforeMs] = [now?.[field] ?? 0, before?.[field] ?? 0]
    assert.ok(nowMs <= beforeMs, `a conflict does not prolong ${field}: ${beforeMs} before, ${nowMs} after`)
  }
}
