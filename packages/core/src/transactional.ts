import { backoffMs, jittered } from './backoff.ts'
import type { Claim, Completion } from './claim.ts'
import type { Clock } from './clock.ts'
import { isOncemqError } from './errors.ts'
import { Gate } from './gate.ts'
import type { Random } from './random.ts'
import type { TransactionalStore } from './store.ts'

const CONFLICT_BACKOFF = { firstMs: 5, factor: 2, maxMs: 500 }
const TRANSACTIONS_MAX = 8

/**
 * Runs the handler in a transaction of the store and completes the claim in the same one, guarded by its
 * claim id: so of two handlers of one key, however they came to run at once, one commits. Runs the whole
 * again when the database asks for it (deadlock, serialization).
 */
export async function commitTogether<Tx>(
  store: TransactionalStore<Tx>,
  claim: Claim,
  work: (tx: Tx) => Promise<Uint8Array | undefined>,
  { clock, random }: { clock: Clock; random: Random },
): Promise<Completion> {
  for (let count = 0; ; count += 1) {
    try {
      return await claim.commit((complete) => store.transaction(async (tx) => complete(await work(tx))))
    } catch (error) {
      const again = isOncemqError(error) && error.code === 'ONCEMQ_TRANSACTION_CONFLICT'
      if (!again || count + 1 === TRANSACTIONS_MAX) throw error
      await new Gate().wait(clock, jittered(backoffMs(CONFLICT_BACKOFF, count), random))
    }
  }
}
