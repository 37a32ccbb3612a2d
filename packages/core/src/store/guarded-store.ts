import type { Clock } from '../time/clock.ts'
import { errorNameOf, isOncemqError, received, StoreError } from '../errors.ts'
import type { OncemqError } from '../errors.ts'
import type { EventHub } from '../observe/event-hub.ts'
import { isAnswer } from './outage.ts'
import type {
  ClaimAnswer,
  ClaimOptions,
  ClaimRequest,
  ClaimUpdate,
  Store,
  StoredRecord,
  UpdateAnswer,
} from './contract.ts'

/** Calls of a store within a bound, whose failures are told. */
export interface TimedCalls {
  /** @throws OncemqError for what fails, or takes longer than `timeoutMs`. */
  within<Answer>(operation: string, timeoutMs: number, call: () => Promise<Answer>): Promise<Answer>
}

/**
 * The store as the core calls it: every call has a timeout, every failure is a {@link OncemqError} and an
 * event.
 */
export class GuardedStore implements TimedCalls {
  readonly #store: Store
  readonly #timeoutMs: number
  readonly #clock: Clock
  readonly #events: EventHub
  readonly #onAnswer: () => void

  /** `onAnswer` is called each time that the store has answered for an entry, be it by a refusal. */
  constructor(store: Store, timeoutMs: number, clock: Clock, events: EventHub, onAnswer: () => void) {
    this.#store = store
    this.#timeoutMs = timeoutMs
    this.#clock = clock
    this.#events = events
    this.#onAnswer = onAnswer
  }

  async claim(batch: readonly ClaimRequest[], options?: ClaimOptions): Promise<readonly ClaimAnswer[]> {
    const answers = await this.#call('claim', batch.length, () => this.#store.claim(batch, options))
    return this.#checked('claim', batch.length, answers, isClaimAnswer)
  }

  async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    const answers = await this.#call('update', batch.length, () => this.#store.update(batch))
    return this.#checked('update', batch.length, answers, isUpdateAnswer)
  }

  async inspect(id: string): Promise<StoredRecord | undefined> {
    const answers = await this.#call('inspect', 1, () => this.#store.inspect([id]))
    return this.#checked('inspect', 1, answers, isRecord)[0]
  }

  forget(id: string): Promise<void> {
    return this.#call('forget', 1, () => this.#store.forget([id]))
  }

  /** A driver that is not what it says must not make a delivery wait or run for ever. */
  #checked<Answer>(
    operation: string,
    count: number,
    answers: readonly Answer[],
    isAnswer: (answer: Answer) => boolean,
  ): readonly Answer[] {
    const isList: boolean = Array.isArray(answers)
    if (isList && answers.length === count && answers.every(isAnswer)) {
      this.#onAnswer()
      return answers
    }
    const what = isList ? `${answers.length}, or others` : received(answers)
    const error = new StoreError(
      'ONCEMQ_STORE_BROKEN',
      `${this.#store.name}.${operation}: expected ${count} answers of its kind, received ${what}; ` +
        `run the conformance suite on this store`,
    )
    throw this.report(operation, count, error)
  }

  /** Any other call, within its own bound. */
  within<Answer>(operation: string, timeoutMs: number, call: () => Promise<Answer>): Promise<Answer> {
    return this.#call(operation, 0, call, timeoutMs)
  }

  /** Makes an error of oncemq of what the store threw, and tells it. */
  report(operation: string, entries: number, thrown: unknown): OncemqError {
    const error = isOncemqError(thrown) ? thrown : this.#unexpected(operation, thrown)
    this.#events.emit('storeError', () => ({ operation, entries, error }))
    if (entries > 0 && isAnswer(error)) this.#onAnswer()
    return error
  }

  /** The store's promise may never settle (a stopped server), so the timeout alone bounds the call. */
  #call<Answer>(
    operation: string,
    entries: number,
    call: () => Promise<Answer>,
    timeoutMs = this.#timeoutMs,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const fail = (error: unknown): void => {
        timer.cancel()
        reject(this.report(operation, entries, error))
      }
      const timer = this.#clock.after(timeoutMs, () => fail(this.#timeout(operation, timeoutMs)))
      try {
        call().then((answer) => {
          timer.cancel()
          resolve(answer)
        }, fail)
      } catch (error) {
        fail(error)
      }
    })
  }

  #timeout(operation: string, timeoutMs: number): StoreError {
    return new StoreError(
      'ONCEMQ_STORE_TIMEOUT',
      `${this.#store.name}.${operation}: expected an answer within ${timeoutMs} ms, received none; ` +
        `look at the store's load, or raise storeTimeoutMs`,
    )
  }

  #unexpected(operation: string, cause: unknown): StoreError {
    return new StoreError(
      'ONCEMQ_STORE_UNAVAILABLE',
      `${this.#store.name}.${operation} failed: expected an answer, received ` +
        `${errorNameOf(cause)}; the cause says more`,
      { cause },
    )
  }
}

function isClaimAnswer(answer: ClaimAnswer | undefined): boolean {
  const status = answer?.status
  return status === 'granted' || status === 'done' || status === 'busy' || status === 'conflict'
}

function isUpdateAnswer(answer: UpdateAnswer | undefined): boolean {
  return answer === 'ok' || answer === 'lost'
}

function isRecord(record: StoredRecord | undefined): boolean {
  return record === undefined || record?.state !== undefined
}
