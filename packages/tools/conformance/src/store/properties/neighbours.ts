import assert from 'node:assert/strict'
import { isOncemqError } from '@oncemq/core'
import type { ClaimRequest, ClaimUpdate } from '@oncemq/core/store'
import { assertGranted, assertRecord } from '../answers.ts'
import type { StoreCase, StoreProperty } from '../property.ts'
import { newClaim, newClaims, rivalOf } from '../requests.ts'
import { LONG_MS } from '../worker.ts'

const COUNT = 16
const SPOILED = 5

const cases: readonly StoreCase[] = [
  {
    name: 'claims beside a record that is none are granted, and it alone is refused',
    async run({ worker: { store }, spoil }) {
      const claims = newClaims(COUNT)
      await spoil((claims[SPOILED] as ClaimRequest).id)
      const answers = await divided(claims, (part) => store.claim(part))
      for (const [at, answer] of answers.entries()) {
        if (at === SPOILED) assertRefused(answer)
        else assertGranted(answer as Exclude<typeof answer, RefusedError>, 1, 1)
      }
    },
  },
  {
    name: 'updates beside a record that is none go through, and it is lost or refused',
    async run({ worker: { store }, spoil }) {
      const claims = newClaims(COUNT)
      await store.claim(claims)
      await store.forget([(claims[SPOILED] as ClaimRequest).id])
      await spoil((claims[SPOILED] as ClaimRequest).id)
      const completions = claims.map(({ id, claimId }): ClaimUpdate => ({
        op: 'complete',
        id,
        claimId,
        retentionMs: LONG_MS,
        result: undefined,
      }))
      const answers = await divided(completions, (part) => store.update(part))
      for (const [at, answer] of answers.entries()) {
        if (at !== SPOILED) assert.equal(answer, 'ok')
        else if (answer !== 'lost') assertRefused(answer)
      }
      const others = claims.filter((_, at) => at !== SPOILED).map(({ id }) => id)
      for (const record of await store.inspect(others)) assertRecord(record, { state: 'done' })
    },
  },
  {
    name: 'a record that is none can be forgotten, and is a new one then',
    async run({ worker, spoil }) {
      const first = newClaim()
      await spoil(first.id)
      const [answer] = await divided([first], (part) => worker.store.claim(part))
      assertRefused(answer)
      await worker.forget(first.id)
      assertGranted(await worker.claim(rivalOf(first)), 1, 1)
    },
  },
]

/** One entry's fault must not be its neighbours'. */
export const neighbours: StoreProperty = {
  name: 'neighbours',
  cases: cases.map((testCase): StoreCase => ({ ...testCase, needs: 'spoiling' })),
}

interface RefusedError {
  readonly refused: unknown
}

/** Sends a batch in ever smaller parts while it is refused, as the core does. */
async function divided<Entry, Answer>(
  batch: readonly Entry[],
  send: (part: readonly Entry[]) => Promise<readonly Answer[]>,
): Promise<readonly (Answer | RefusedError)[]> {
  try {
    return await send(batch)
  } catch (error) {
    if (!isOncemqError(error) || error.code !== 'ONCEMQ_STORE_REFUSED') throw error
    if (batch.length === 1) return [{ refused: error }]
    const middle = batch.length >>> 1
    const [first, second] = [batch.slice(0, middle), batch.slice(middle)]
    return [...(await divided(first, send)), ...(await divided(second, send))]
  }
}

function assertRefused(answer: unknown): void {
  const isRefused = typeof answer === 'object' && answer !== null && 'refused' in answer
  assert.ok(isRefused, 'what is no record must not be answered as if it were one')
}
