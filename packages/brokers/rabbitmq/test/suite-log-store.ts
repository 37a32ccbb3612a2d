import { DatabaseSync } from 'node:sqlite'
import type { SuiteStore } from '@oncemq/conformance'
import type {
  ClaimAnswer,
  ClaimRequest,
  ClaimUpdate,
  LogRequest,
  LogTaken,
  LogUpdate,
  TransactionEnd,
  UpdateAnswer,
} from '@oncemq/core/store'
import { StoreError } from '@oncemq/core/store'
import { SqliteStore } from '@oncemq/sqlite'

/** A store that keeps logs, and that the broker suite can take away. */
export class SuiteLogStore extends SqliteStore implements SuiteStore {
  isDown = false
  isRefusing = false
  claims = 0
  readonly #database: DatabaseSync
  #held: Promise<void> | undefined
  #letGo = (): void => undefined

  constructor(database = new DatabaseSync(':memory:')) {
    super({ database })
    this.#database = database
  }

  /** How far the log of a queue is done. */
  doneOf(queue: string): number {
    const row = this.#database
      .prepare('SELECT next_offset FROM oncemq_logs WHERE label LIKE ?')
      .get(`%${queue}`)
    return Math.max(0, Number(row?.['next_offset'] ?? 0))
  }

  override async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    this.claims += 1
    this.#mayFail()
    return super.claim(batch)
  }

  override async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    this.#mayFail()
    return super.update(batch)
  }

  override async transaction(
    work: (tx: DatabaseSync) => Promise<TransactionEnd | undefined>,
    signal?: AbortSignal,
  ): Promise<UpdateAnswer> {
    this.#mayFail()
    return super.transaction(async (tx) => {
      const end = await work(tx)
      await this.#held
      this.#mayFail()
      return end
    }, signal)
  }

  override async takeLog(log: LogRequest): Promise<LogTaken> {
    this.#mayFail()
    return super.takeLog(log)
  }

  override async updateLog(update: LogUpdate): Promise<UpdateAnswer> {
    this.#mayFail()
    return super.updateLog(update)
  }

  hold(): void {
    this.#held = new Promise((resolve) => (this.#letGo = resolve))
  }

  letGo(): void {
    this.#letGo()
    this.#held = undefined
  }

  #mayFail(): void {
    if (this.isRefusing) throw new StoreError('ONCEMQ_STORE_REFUSED', 'the store of the suite refuses')
    if (this.isDown) throw new Error('the store of the suite is down')
  }
}
