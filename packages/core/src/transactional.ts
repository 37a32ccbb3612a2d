import { backoffMs, jittered } from './backoff.ts'
import type { Claim, Completion } from './claim.ts'
import type { Clock, Timer } from './clock.ts'
import { isOncemqError, StoreError } from './errors.ts'
import { Gate } from './gate.ts'
import type { Random } from './random.ts'
import type { CompleteUpdate, TransactionalStore, UpdateAnswer } from './store.ts'

const CONFLICT_BACKOFF = { firstMs: 5, factor: 2, maxMs: 500 }
const TRANSACTIONS_MAX = 8

export interface CommitSettings {
  readonly clock: Clock
  readonly random: Random
  readonly storeTimeoutMs: number
}

/**
 * Runs the handler in a transaction of the store and completes the claim in the same one, guarded by its
 * claim id: so of two handlers of one key, however they came to run at once, one commits. Runs the whole
 * again when the database asks for it (deadlock, serialization).
 */
export async function commitTogether<Tx>(
  store: TransactionalStore<Tx>,
  claim: Claim,
  work: (tx: Tx) => Promise<Uint8Array | undefined>,
  settings: CommitSettings,
): Promise<Completion> {
  const { clock, random } = settings
  for (let count = 0; ; count += 1) {
    try {
      return await claim.commit((complete) =>
        transaction(store, async (tx) => complete(await work(tx)), settings),
      )
    } catch (error) {
      const again = isOncemqError(error) && error.code === 'ONCEMQ_TRANSACTION_CONFLICT'
      if (!again || count + 1 === TRANSACTIONS_MAX) throw error
      await new Gate().wait(clock, jittered(backoffMs(CONFLICT_BACKOFF, count), random))
    }
  }
}

/**
 * The store's transaction, each of whose own parts has a bound, while the handler between them may take its
 * time: a server that stopped must not hold a delivery for ever.
 */
function transaction<Tx>(
  store: TransactionalStore<Tx>,
  work: (tx: Tx) => Promise<CompleteUpdate>,
  { clock, storeTimeoutMs }: CommitSettings,
): Promise<UpdateAnswer> {
  return new Promise((resolve, reject) => {
    let timer: Timer | undefined
    let givenUp: StoreError | undefined
    const expectStore = (error: StoreError): void => {
      timer = clock.after(storeTimeoutMs, () => reject((givenUp = error)))
    }
    const run = async (tx: Tx): Promise<CompleteUpdate> => {
      // Nobody waits for a transaction that begins so late: it is rolled back.
      if (givenUp !== undefined) throw givenUp
      timer?.cancel()
      try {
        return await work(tx)
      } finally {
        expectStore(new StoreError('ONCEMQ_COMMIT_UNKNOWN', silent('commit or rollback', storeTimeoutMs)))
      }
    }
    expectStore(new StoreError('ONCEMQ_STORE_TIMEOUT', silent('transaction', storeTimeoutMs)))
    store
      .transaction(run)
      .then(resolve, reject)
      .finally(() => timer?.cancel())
  })
}

function silent(what: string, storeTimeoutMs: number): string {
  return (
    `expected the ${what} within ${storeTimeoutMs} ms, received no answer; ` +
    `look at the store's load, or raise storeTimeoutMs`
  )
}
