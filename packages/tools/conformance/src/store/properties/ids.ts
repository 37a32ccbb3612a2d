import assert from 'node:assert/strict'
import type { ClaimRequest } from '@oncemq/core/store'
import { assertDone, assertGranted, assertRecord } from '../answers.ts'
import type { StoreProperty } from '../property.ts'
import { newClaim, newHex, rivalOf } from '../requests.ts'
import type { StoreWorker } from '../worker.ts'

const DIGITS = 32

/** Ids that a number, a date, a float or a trimmed text would take for each other. */
const ALIKE: readonly string[] = [
  '0'.repeat(DIGITS),
  `${'0'.repeat(DIGITS - 1)}1`,
  `1${'0'.repeat(DIGITS - 1)}`,
  `0e1${'0'.repeat(DIGITS - 3)}`,
  `0e2${'0'.repeat(DIGITS - 3)}`,
  `1e${'0'.repeat(DIGITS - 2)}`,
  `${'0'.repeat(DIGITS - 2)}e0`,
  `${'0'.repeat(DIGITS / 2)}${'f'.repeat(DIGITS / 2)}`,
  `${'f'.repeat(DIGITS / 2)}${'0'.repeat(DIGITS / 2)}`,
  '20'.repeat(DIGITS / 2),
  '5c'.repeat(DIGITS / 2),
  '27'.repeat(DIGITS / 2),
  'f'.repeat(DIGITS),
]

export const ids: StoreProperty = {
  name: 'ids',
  cases: [
    {
      name: 'ids that differ in any one digit are different records',
      async run({ worker }) {
        await assertDistinct(worker, [...variantsOf(newHex())])
      },
    },
    {
      name: 'ids that look alike to a number or a text are different records',
      async run({ worker }) {
        await assertDistinct(worker, ALIKE)
      },
    },
    {
      name: 'claim ids that differ in any one digit are different owners',
      async run({ worker }) {
        const first = newClaim()
        await worker.claim(first)
        for (const claimId of variantsOf(first.claimId)) {
          if (claimId === first.claimId) continue
          assert.equal(
            await worker.renew({ ...first, claimId }),
            'lost',
            'a claim id counts to its last digit',
          )
          assert.equal((await worker.claim({ ...first, claimId })).status, 'busy')
        }
        assert.equal(await worker.complete(first), 'ok')
      },
    },
    {
      name: 'claim ids that look alike are different owners',
      async run({ worker }) {
        const first = newClaim({ claimId: ALIKE[0] as string })
        await worker.claim(first)
        for (const claimId of ALIKE.slice(1))
          assert.equal(await worker.complete({ ...first, claimId }), 'lost')
        assert.equal(await worker.complete(first), 'ok')
      },
    },
  ],
}

/** The id, and the id with each of its digits changed in turn. */
function variantsOf(id: string): Set<string> {
  const variants = new Set([id])
  for (let at = 0; at < DIGITS; at += 1) {
    const digit = (Number.parseInt(id[at] as string, 16) ^ 1).toString(16)
    variants.add(id.slice(0, at) + digit + id.slice(at + 1))
  }
  return variants
}

async function assertDistinct(worker: StoreWorker, distinct: readonly string[]): Promise<void> {
  const claims: ClaimRequest[] = distinct.map((id) => newClaim({ id }))
  for (const claim of claims) assertGranted(await worker.claim(claim), 1, 1)
  const [first, ...others] = claims as [ClaimRequest, ...ClaimRequest[]]
  assert.equal(await worker.complete(first), 'ok')
  assertDone(await worker.claim(rivalOf(first)))
  for (const other of others) assertRecord(await worker.inspect(other.id), { state: 'running', epoch: 1 })
  for (const other of others) assert.equal(await worker.release(other), 'ok')
  assertDone(await worker.claim(rivalOf(first)))
}
