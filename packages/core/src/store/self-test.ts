import { StoreError } from '../errors.ts'
import { recordId } from '../delivery/identity.ts'
import type { Settings } from '../options.ts'
import type { Random } from '../time/random.ts'
import type { GuardedStore } from './guarded-store.ts'
import type { CompleteUpdate, UpdateAnswer } from './contract.ts'

const TRANSACTION_TIMEOUT_MS = 30_000
const PROBE_LEASE_MS = 10_000
const PROBE_RETENTION_MS = 60_000

/** How the self-test completes its key: by a plain update, or in a transaction as the handlers' keys are. */
export type Complete = (completion: CompleteUpdate) => Promise<UpdateAnswer | undefined>

/**
 * Claims, claims again, completes, claims once more and forgets a key that nobody else has, so that a client
 * that drops options, a proxy that answers by itself, or a store that cannot write is noticed before a
 * message depends on it.
 * @throws OncemqError that the store threw, or `ONCEMQ_STORE_BROKEN`.
 */
export async function selfTest(
  store: GuardedStore,
  name: string,
  random: Random,
  complete: Complete = async (completion) => (await store.update([completion]))[0],
): Promise<void> {
  const mine = random.claimId()
  const id = recordId('', mine, { kind: 'internal' })
  const ask = async (claimId: string): Promise<string> => {
    const [answer] = await store.claim([
      {
        id,
        claimId,
        leaseMs: PROBE_LEASE_MS,
        retentionMs: PROBE_RETENTION_MS,
        fingerprint: undefined,
        label: 'oncemq self-test',
      },
    ])
    return answer?.status ?? 'nothing'
  }
  const expect = (step: string, expected: string, answer = 'nothing'): void => {
    if (answer === expected) return
    throw new StoreError(
      'ONCEMQ_STORE_BROKEN',
      `${name}: self-test, ${step}: expected '${expected}', received '${answer}'; ` +
        `run the conformance suite with the client and server that you use`,
    )
  }
  const completion = {
    op: 'complete',
    id,
    claimId: mine,
    retentionMs: PROBE_RETENTION_MS,
    result: undefined,
  } as const
  expect('first claim', 'granted', await ask(mine))
  expect('claim of a running key', 'busy', await ask(random.claimId()))
  expect('completion', 'ok', await complete(completion))
  expect('claim of a done key', 'done', await ask(random.claimId()))
  await store.forget(id)
}

/** The self-tests of a deduplicator. */
export class SelfTests {
  readonly #store: GuardedStore
  readonly #settings: Pick<Settings<unknown>, 'random' | 'store' | 'strategy'>
  #running: Promise<boolean> | undefined

  constructor(store: GuardedStore, settings: Pick<Settings<unknown>, 'random' | 'store' | 'strategy'>) {
    this.#store = store
    this.#settings = settings
  }

  /** With few calls, for a store that may be down. @throws as {@link selfTest}. */
  brief(): Promise<void> {
    const { random, store } = this.#settings
    return selfTest(this.#store, store.name, random)
  }

  /** With all that a delivery needs. @throws as {@link selfTest}. */
  whole(): Promise<void> {
    const { random, store, strategy } = this.#settings
    const { completeOnce } = strategy
    const complete: Complete | undefined =
      completeOnce &&
      ((completion) =>
        this.#store.within('transaction', TRANSACTION_TIMEOUT_MS, () => completeOnce(store, completion)))
    return selfTest(this.#store, store.name, random, complete)
  }

  /** Whether the whole one succeeds now; one for all who ask meanwhile. Never rejects. */
  succeeds(): Promise<boolean> {
    this.#running ??= this.whole()
      .then(
        () => true,
        () => false,
      )
      .finally(() => (this.#running = undefined))
    return this.#running
  }
}
