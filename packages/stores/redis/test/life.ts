import type { ClaimAnswer, ClaimRequest } from '@oncemq/core/store'
import type { Store } from '@oncemq/core'
import { claimOf, completionOf, newHex } from '@oncemq/test-stores'

/** Claims, claims again, completes and claims once more; answers the four statuses. */
export async function lifeOf(store: Store, claim: ClaimRequest = claimOf()): Promise<string[]> {
  const status = async (request: ClaimRequest): Promise<string> =>
    (await store.claim([request]))[0]?.status ?? 'nothing'
  const rival = { ...claim, claimId: newHex() }
  return [
    await status(claim),
    await status(rival),
    String((await store.update([completionOf(claim)]))[0]),
    await status(rival),
  ]
}

export const LIFE = ['granted', 'busy', 'ok', 'done']

export function statusesOf(answers: readonly ClaimAnswer[]): string[] {
  return answers.map(({ status }) => status)
}
