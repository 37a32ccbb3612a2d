import type { Handler, ProcessOutcome } from '@oncemq/core'
import type { Start, StrategyServices } from '@oncemq/core/broker'
import { bounded, Condition, contextOf, failed } from '@oncemq/core/broker'
import type { ProducerTransaction } from '../clients/port.ts'
import { NotCommitted, outcomeOf } from './fault.ts'
import type { PartitionLog } from './partition-log.ts'
import type { KafkaTransaction } from './transaction.ts'
import { LentTransaction } from './transaction.ts'

/** A start of a handler. */
export interface Run {
  readonly offset: bigint
  readonly start: Start
  readonly handler: Handler<KafkaTransaction>
  readonly services: StrategyServices
  /** Lets the next record of the partition come. */
  readonly passOn: (() => void) | undefined
}

interface WaitingRun extends Run {
  readonly end: (outcome: ProcessOutcome) => void
  result: Uint8Array | undefined
}

export interface RunsSettings {
  readonly batchMax: number
  /** For how long a transaction takes in further records. */
  readonly batchMs: number
}

/** How long a transaction waits for a record that is here and on its way to it. */
const JOIN_MS = 1

/**
 * The handlers of one partition, each in the transaction that moves the group's offset past its record.
 *
 *   begin ──▶ handler ──▶ (the next record's handler ...) ──▶ offset, commit ──▶ all of them done
 *                └── one fails: abort. If it was alone it has failed; else each runs again, alone
 *
 * A record that has not ended keeps those after it waiting: the offset would pass it.
 */
export class Runs {
  readonly #log: PartitionLog
  readonly #settings: RunsSettings
  readonly #waiting: WaitingRun[] = []
  readonly #arrived = new Condition()
  /** Offsets of records that ran, or were to, are not done, and are to come again. */
  readonly #open = new Set<bigint>()
  /** How many of the next records run alone. */
  #alone: number
  #isDriving = false

  constructor(log: PartitionLog, settings: RunsSettings) {
    this.#log = log
    this.#settings = settings
    // One of those that were in flight may be what ended the process that had the partition.
    this.#alone = log.startsFound > 0 ? settings.batchMax : 0
  }

  run(run: Run): Promise<ProcessOutcome> {
    return new Promise((resolve) => {
      const end = (outcome: ProcessOutcome): void => {
        const isDone = outcome.status === 'completed' || outcome.status === 'duplicate'
        if (isDone) this.#open.delete(run.offset)
        else this.#open.add(run.offset)
        resolve(outcome)
      }
      this.#waiting.push({ ...run, end, result: undefined })
      this.#arrived.notifyAll()
      void this.#drive()
    })
  }

  async #drive(): Promise<void> {
    if (this.#isDriving) return
    this.#isDriving = true
    while (this.#waiting.length > 0) await this.#log.exclusive(() => this.#together())
    this.#isDriving = false
  }

  /** One transaction. Never rejects. */
  async #together(): Promise<void> {
    const first = this.#admitted()
    if (first === undefined) return
    const runs = [first]
    let transaction: ProducerTransaction | undefined
    try {
      await this.#count(first)
      transaction = await this.#log.begin()
      const { clock } = first.services
      const untilMs = clock.monotonicMs() + this.#settings.batchMs
      for (;;) {
        const failure = await this.#handle(runs.at(-1) as WaitingRun, transaction)
        if (failure !== undefined) {
          await this.#log.abort(transaction)
          return await this.#failed(runs, failure.error)
        }
        const next = clock.monotonicMs() < untilMs ? await this.#joining(runs) : undefined
        if (next === undefined) break
        runs.push(next)
      }
      await this.#log.commit(transaction, (runs.at(-1) as WaitingRun).offset + 1n)
    } catch (error) {
      return this.#notCommitted(runs, error, transaction)
    }
    this.#alone = Math.max(0, this.#alone - 1)
    for (const run of runs) completed(run)
  }

  /** The next one that may run now. The others of those that wait before it have ended. */
  #admitted(): WaitingRun | undefined {
    for (;;) {
      const run = this.#waiting.shift()
      if (run === undefined) return undefined
      if (this.#log.isPast(run.offset)) duplicate(run)
      // Its turn comes after those that it was passed on from, which are tried again before it.
      else if (this.#log.signal.aborted || this.#isBehind(run)) run.end({ status: 'lost' })
      else {
        this.#open.delete(run.offset)
        return run
      }
    }
  }

  #isBehind({ offset }: Run): boolean {
    for (const open of this.#open) {
      if (this.#log.isPast(open)) this.#open.delete(open)
      else if (open < offset) return true
    }
    return false
  }

  /** Starts are written down where the process may have ended with one: see the log. */
  async #count({ start, offset }: Run): Promise<void> {
    const { attempt } = start
    if (attempt > 1 || this.#log.isFresh) await this.#log.commit(await this.#log.begin(), offset, attempt)
  }

  /** A further record for the transaction, if there is one by now. */
  async #joining(runs: readonly WaitingRun[]): Promise<WaitingRun | undefined> {
    const last = runs.at(-1)
    if (last === undefined || this.#alone > 0 || runs.length >= this.#settings.batchMax) return undefined
    last.passOn?.()
    if (this.#waiting.length === 0) await this.#arrived.wait(last.services.clock, JOIN_MS)
    return this.#admitted()
  }

  /** Answers why it failed. @throws NotCommitted when it was the broker that did. */
  async #handle(
    run: WaitingRun,
    transaction: ProducerTransaction,
  ): Promise<{ readonly error: unknown } | undefined> {
    const { start, handler, services } = run
    const { clock, handlerTimeoutMs } = services
    const lent = new LentTransaction(transaction, (error) => this.#log.faultOf(error))
    let thrown: { readonly error: unknown } | undefined
    try {
      const context = contextOf(start, lent.handle)
      const abort = (reason: unknown): void => start.abort(reason)
      run.result = (await bounded(() => handler(context), { clock, handlerTimeoutMs, abort })) ?? undefined
    } catch (error) {
      thrown = { error }
    }
    await lent.end()
    const { failure } = lent
    if (failure === undefined || failure.fault.kind === 'refused') return thrown ?? failure
    if (failure.fault.kind === 'fenced') this.#log.lose()
    throw new NotCommitted(outcomeOf(failure.fault, failure.error))
  }

  async #failed(runs: readonly WaitingRun[], error: unknown): Promise<void> {
    const [first] = runs
    if (first !== undefined && runs.length === 1) {
      this.#alone = Math.max(0, this.#alone - 1)
      return first.end(await failed(first.start, error, first.services))
    }
    this.#alone = runs.length
    this.#waiting.unshift(...runs)
  }

  async #notCommitted(
    runs: readonly WaitingRun[],
    error: unknown,
    transaction: ProducerTransaction | undefined,
  ): Promise<void> {
    if (transaction !== undefined && !this.#log.signal.aborted) {
      await this.#log.giveUp(transaction).catch(() => undefined)
    }
    // Whatever else is thrown here is a fault of ours, after which nothing is known of the transaction.
    if (!(error instanceof NotCommitted)) this.#log.lose()
    const outcome: ProcessOutcome = error instanceof NotCommitted ? error.outcome : { status: 'lost' }
    for (const run of runs) run.end(outcome)
  }
}

function completed({ start, services, result, end }: WaitingRun): void {
  services.events.emit('completed', () => ({ key: start.key, epoch: 0 }))
  end({ status: 'completed', result, protected: true })
}

function duplicate({ start, services, end }: WaitingRun): void {
  services.events.emit('duplicate', () => ({ key: start.key, source: 'position' }))
  end({ status: 'duplicate', result: undefined })
}
