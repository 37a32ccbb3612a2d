import { backoffMs, jittered } from '../time/backoff.ts'
import type { Claim, Completion } from '../claims/claim.ts'
import type { Clock, Timer } from '../time/clock.ts'
import { isOncemqError, StoreError } from '../errors.ts'
import { Condition } from '../time/condition.ts'
import type { Random } from '../time/random.ts'
import type { CompleteUpdate, TransactionalStore, UpdateAnswer } from '../store/contract.ts'

const CONFLICT_BACKOFF = { firstMs: 5, factor: 2, maxMs: 500 }
const TRANSACTIONS_MAX = 8

export interface CommitSettings {
  readonly clock: Clock
  readonly random: Random
  readonly leaseMs: number
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
      await new Condition().wait(clock, jittered(backoffMs(CONFLICT_BACKOFF, count), random))
    }
  }
}

/**
 * The store's transaction, each of whose own parts has a bound, while the handler between them may take its
 * time: a server that stopped must not hold a delivery for ever. To begin may take a lease: handlers wait for
 * their turn where a store has few connections, or one.
 */
function transaction<Tx>(
  store: TransactionalStore<Tx>,
  work: (tx: Tx) => Promise<CompleteUpdate>,
  { clock, leaseMs, storeTimeoutMs }: CommitSettings,
): Promise<UpdateAnswer> {
  return new Promise((resolve, reject) => {
    let timer: Timer | undefined
    let givenUp: StoreError | undefined
    const expectStore = (boundMs: number, error: StoreError): void => {
      timer = clock.after(boundMs, () => reject((givenUp = error)))
    }
    const run = async (tx: Tx): Promise<CompleteUpdate> => {
      // Nobody waits for a transaction that begins so late: it is rolled back.
      if (givenUp !== undefined) throw givenUp
      timer?.cancel()
      try {
        return await work(tx)
      } finally {
        const message = silent('commit or rollback', storeTimeoutMs, 'storeTimeoutMs')
        expectStore(storeTimeoutMs, new StoreError('ONCEMQ_COMMIT_UNKNOWN', message))
      }
    }
    expectStore(leaseMs, new StoreError('ONCEMQ_STORE_TIMEOUT', silent('transaction', leaseMs, 'leaseMs')))
    store
      .transaction(run)
      .then(resolve, reject)
      .finally(() => timer?.cancel())
  })
}

function silent(what: string, boundMs: number, option: string): string {
  return (
    `expected the ${what} within ${boundMs} ms, received no answer; ` +
    `look at the store's load, take fewer messages at a time, or raise ${option}`
  )
}
