import type {
  AdvanceUpdate,
  LogRequest,
  LogStore,
  LogTaken,
  LogUpdate,
  TransactionEnd,
  UpdateAnswer,
} from '../src/store/index.ts'
import { partsOf } from '../src/store/index.ts'
import type { Ledger } from './transactional-store.ts'
import { LedgerStore } from './transactional-store.ts'

/** A ledger with one log, whose row a test sees and changes. */
export class LogLedger extends LedgerStore implements LogStore<Ledger> {
  row = { epoch: 0, next: undefined as bigint | undefined, isHeld: false }
  started: bigint | undefined
  starts = 0
  readonly logUpdates: LogUpdate['op'][] = []
  beforeUpdate: () => Promise<void> = async () => {}
  #advance: AdvanceUpdate | undefined

  override commit = async (apply: () => Promise<UpdateAnswer>): Promise<UpdateAnswer> => {
    const advance = this.#advance
    if (advance !== undefined && !this.#isAt(advance)) return 'lost'
    const answer = await apply()
    if (advance !== undefined && answer === 'ok') this.row.next = advance.next
    return answer
  }

  override transaction(
    work: (tx: Ledger) => Promise<TransactionEnd | undefined>,
    signal?: AbortSignal,
  ): Promise<UpdateAnswer> {
    return super.transaction(async (tx) => {
      const { completion, advance } = partsOf(await work(tx))
      this.#advance = advance
      return completion
    }, signal)
  }

  async takeLog(_log: LogRequest): Promise<LogTaken> {
    const { next, isHeld: wasHeld } = this.row
    this.row = { epoch: this.row.epoch + 1, next, isHeld: true }
    return { epoch: this.row.epoch, next, wasHeld, started: this.started, starts: this.starts }
  }

  async updateLog(update: LogUpdate): Promise<UpdateAnswer> {
    if (update.op === 'release' && update.epoch === 0) return 'lost'
    this.logUpdates.push(update.op)
    await this.beforeUpdate()
    if (update.op === 'unstart') this.starts -= 1
    else if (update.epoch !== this.row.epoch) return 'lost'
    else if (update.op === 'release') this.row.isHeld = false
    else if (update.op === 'start') {
      this.starts = this.started === update.offset ? this.starts + 1 : update.attempt
      this.started = update.offset
    } else {
      if (!this.#isAt(update)) return 'lost'
      this.row.next = update.next
    }
    return 'ok'
  }

  #isAt({ epoch, from }: AdvanceUpdate): boolean {
    return this.row.epoch === epoch && this.row.next === from
  }
}
