import assert from 'node:assert/strict'
import { isOncemqError } from '@oncemq/core'
import type { ClaimRequest, ClaimUpdate } from '@oncemq/core/store'
import { assertConflict, assertGranted, assertRecord } from '../answers.ts'
import type { StoreContext } from '../context.ts'
import { completionOf } from '../handler.ts'
import type { LockKind } from '../options.ts'
import type { StoreCase, StoreProperty } from '../property.ts'
import { newClaim, newClaims, newHex, rivalOf } from '../requests.ts'
import { LONG_MS } from '../worker.ts'

const OTHERS = 40
const ROUNDS = 20
/** Long before a store gives up, and well after an answer under load. */
const SOON_MS = 2500

const KINDS: readonly LockKind[] = ['change', 'remove', 'insert']

const cases: readonly StoreCase[] = [
  ...KINDS.map((kind): StoreCase => ({
    name: `a claim of a record in an open transaction is busy, and the others are granted soon: ${kind}`,
    async run(context) {
      const { worker, lock } = context
      const victim = kind === 'insert' ? newClaim() : await lapsed(context)
      const end = await lock([victim.id], kind)
      if (end === undefined) return
      const [rival, others] = [rivalOf(victim), newClaims(OTHERS)]
      const lone = await soon(() => worker.claim(rival))
      assert.equal(lone.status, 'busy')
      const batch = [...others.slice(7), rival, ...others.slice(0, 7)]
      const answers = await soon(() => worker.store.claim(batch))
      for (const [at, answer] of answers.entries()) {
        if (batch[at] === rival) assert.equal(answer.status, 'busy')
        else assertGranted(answer, 1, 1)
      }
      await end()
      const again = kind === 'insert' ? 1 : 2
      assertGranted(await worker.claim(rival), again, again)
    },
  })),
  {
    name: 'however many are locked',
    async run(context) {
      const { worker, lock } = context
      const victims = await Promise.all(newClaims(OTHERS).map(() => lapsed(context)))
      const ids = victims.map(({ id }) => id)
      const end = await lock(ids, 'change')
      const batch = victims.flatMap((victim) => [rivalOf(victim), newClaim()])
      const answers = await soon(() => worker.store.claim(batch))
      const expected = victims.flatMap(() => ['busy', 'granted'])
      assert.deepEqual(
        answers.map(({ status }) => status),
        expected,
      )
      await end?.()
    },
  },
  {
    name: 'however many are being inserted',
    async run(context) {
      const { worker, lock } = context
      const [victims, others] = [newClaims(OTHERS), newClaims(OTHERS)]
      const end = await lock(
        victims.map(({ id }) => id),
        'insert',
      )
      if (end === undefined) return
      const batch = victims.flatMap((victim, at) => [rivalOf(victim), others[at] as ClaimRequest])
      // There may be no time to find out which ones are not locked: some of them are granted each time.
      const granted = new Set<ClaimRequest>()
      for (let round = 0; granted.size < 2; round += 1) {
        assert.ok(round < ROUNDS, `expected grants beside what is locked, received ${granted.size}`)
        const answers = await soon(() => worker.store.claim(batch))
        for (const [at, { status }] of answers.entries()) {
          const request = batch[at] as ClaimRequest
          if (status === 'granted') granted.add(request)
          else assert.equal(status, 'busy')
        }
      }
      for (const request of granted) assert.ok(others.includes(request), 'what is locked is not granted')
      await end()
    },
  },
  {
    name: 'beside a record that is known to be locked the others do not wait',
    async run(context) {
      const { worker, lock } = context
      const victim = await lapsed(context)
      const end = await lock([victim.id], 'change')
      const rival = rivalOf(victim)
      await worker.claim(rival)
      for (let round = 0, leftMs = SOON_MS; round < ROUNDS; round += 1) {
        const startMs = performance.now()
        const answers = await worker.store.claim([newClaim(), rival, newClaim()])
        leftMs -= performance.now() - startMs
        assert.ok(leftMs > 0, `expected ${ROUNDS} answers within ${SOON_MS} ms, received ${round}`)
        assert.deepEqual(
          answers.map(({ status }) => status),
          ['granted', 'busy', 'granted'],
        )
      }
      await end?.()
      assertGranted((await worker.store.claim([newClaim(), rival]))[1], 2, 2)
    },
  },
  {
    name: 'a conflict beside a locked record is still one',
    async run(context) {
      const { worker, lock } = context
      const [victim, other] = [await lapsed(context), await lapsed(context, { fingerprint: newHex() })]
      const end = await lock([victim.id], 'change')
      const batch = [rivalOf(victim), rivalOf(other, { fingerprint: newHex() })]
      const [locked, conflict] = await soon(() => worker.store.claim(batch))
      assert.equal(locked?.status, 'busy')
      assertConflict(conflict)
      assertRecord(await worker.inspect(other.id), { epoch: 1, fingerprint: other.fingerprint })
      await end?.()
    },
  },
  {
    name: 'updates with a locked record time out, and those of the others go through by themselves',
    async run({ worker: { store }, lock }) {
      const claims = newClaims(3)
      await store.claim(claims)
      const [victim, ...others] = claims as [ClaimRequest, ...ClaimRequest[]]
      const end = await lock([victim.id], 'change')
      const renewals = claims.map(({ id, claimId }): ClaimUpdate => ({
        op: 'renew',
        id,
        claimId,
        leaseMs: LONG_MS,
        retentionMs: LONG_MS,
      }))
      const completions = claims.map((claim) => completionOf(claim))
      for (const updates of [renewals, completions]) {
        const failure: unknown = await store.update(updates).catch((error: unknown) => error)
        assert.ok(isOncemqError(failure), 'an update of a locked record cannot be answered')
        assert.equal(failure.code, 'ONCEMQ_STORE_TIMEOUT', 'the core halves what has timed out')
      }
      const answers = await soon(() => store.update(others.map((claim) => completionOf(claim))))
      assert.deepEqual(answers, ['ok', 'ok'])
      await end?.()
      assert.deepEqual(await store.update(completions), ['ok', 'ok', 'ok'])
    },
  },
]

/** A record in the open transaction of a worker whose host vanished: it is busy, and holds up no other. */
export const locks: StoreProperty = {
  name: 'locks',
  cases: cases.map((testCase): StoreCase => ({ ...testCase, needs: 'locking' })),
}

/** A record whose lease is over, so that it could be taken if it were not locked. */
async function lapsed(
  { worker, time }: StoreContext,
  given: Partial<ClaimRequest> = {},
): Promise<ClaimRequest> {
  const claim = newClaim({ leaseMs: 1, ...given })
  await worker.claim(claim)
  await time.elapse(1)
  return claim
}

async function soon<Answer>(call: () => Promise<Answer>): Promise<Answer> {
  const startMs = performance.now()
  const answer = await call()
  const tookMs = Math.round(performance.now() - startMs)
  assert.ok(tookMs < SOON_MS, `expected an answer within ${SOON_MS} ms, received it after ${tookMs}`)
  return answer
}
