import type { Clock, CompleteUpdate, StoreGuarantees, UpdateAnswer } from '../src/store/index.ts'
import type { TransactionalStore } from '../src/index.ts'
import { ScriptedStore } from './scripted-store.ts'

/** What a handler writes with: words, which are there once the transaction has committed. */
export interface Ledger {
  readonly words: string[]
}

type Step = (apply: () => Promise<UpdateAnswer>) => Promise<UpdateAnswer>

/** A MemoryStore whose completions commit together with words. It is one process, so a commit is one step. */
export class LedgerStore extends ScriptedStore implements TransactionalStore<Ledger> {
  override readonly guarantees: StoreGuarantees
  readonly committed: string[] = []
  begun = 0
  lastSignal: AbortSignal | undefined
  begin: () => Promise<void> = async () => {}
  commit: Step = (apply) => apply()

  constructor(clock: Clock, renewsInTransaction = true) {
    super(clock)
    const { guarantees } = this.memory
    this.guarantees = { ...guarantees, sharedBy: 'network', transactional: true, renewsInTransaction }
  }

  transaction(
    work: (tx: Ledger) => Promise<CompleteUpdate | undefined>,
    signal?: AbortSignal,
  ): Promise<UpdateAnswer> {
    this.begun += 1
    this.lastSignal = signal
    return new Promise((resolve, reject) => {
      // Rolled back at once, without waiting for the work.
      signal?.addEventListener('abort', () => reject(signal.reason as Error))
      this.#transaction(work).then(resolve, reject)
    })
  }

  async #transaction(work: (tx: Ledger) => Promise<CompleteUpdate | undefined>): Promise<UpdateAnswer> {
    await this.begin()
    const tx = { words: [] }
    const completion = await work(tx)
    if (this.lastSignal?.aborted === true) throw this.lastSignal.reason
    return this.commit(async () => {
      const answers = completion === undefined ? ['ok' as const] : await this.memory.update([completion])
      const answer = answers[0] ?? 'lost'
      if (answer === 'ok') this.committed.push(...tx.words)
      return answer
    })
  }
}
