import { recordId } from '../delivery/identity.ts'
import { OncemqError } from '../errors.ts'
import type { Clock } from '../time/clock.ts'
import { pause } from '../time/condition.ts'
import type { Random } from '../time/random.ts'
import type { GuardedStore } from './guarded-store.ts'

const LEASE_MS = 10_000
const YEAR_MS = 31_536_000_000
const LABEL = 'oncemq secret'
const ASK_AGAIN_MS = 100
const ASKED_MAX = 200

interface SecretSettings {
  readonly clock: Clock
  readonly random: Random
}

/**
 * A secret that all workers of a store share and that no sender knows, by which they know each other's copies
 * of messages. It is the result of a record like any other: whoever claims it first makes it up.
 * @throws OncemqError what the store throws.
 */
export async function sharedSecret(store: GuardedStore, settings: SecretSettings): Promise<Uint8Array> {
  const { clock, random } = settings
  const id = recordId('', LABEL, { kind: 'internal' })
  for (let asked = 0; asked < ASKED_MAX; asked += 1) {
    const claimId = random.claimId()
    const request = {
      id,
      claimId,
      leaseMs: LEASE_MS,
      retentionMs: YEAR_MS,
      fingerprint: undefined,
      label: LABEL,
    }
    const [answer] = await store.claim([request])
    if (answer?.status === 'done' && answer.result !== undefined) return answer.result
    if (answer?.status === 'granted') {
      const result = Buffer.from(random.claimId() + random.claimId(), 'hex')
      const [told] = await store.update([{ op: 'complete', id, claimId, retentionMs: YEAR_MS, result }])
      if (told === 'ok') return result
    }
    await pause(clock, ASK_AGAIN_MS)
  }
  throw new OncemqError(
    'ONCEMQ_STORE_BROKEN',
    'expected the secret of the workers, received none; run verify',
  )
}
