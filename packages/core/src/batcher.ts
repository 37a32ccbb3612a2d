import type { StoreBatching } from './store.ts'

interface Pending<Request, Answer> {
  readonly request: Request
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}

/**
 * Group commit: while one batch is on its way, the next gathers. A lone request leaves at the end of the
 * current turn of the event loop's microtasks, never by a timer, so all messages of one read of the socket
 * share a batch. A further batch leaves beside those under way only when it is full. Answers are given out in
 * the order in which the requests came, also when a later batch is answered first.
 */
export class Batcher<Request, Answer> {
  readonly #send: (batch: readonly Request[]) => Promise<readonly Answer[]>
  readonly #limits: StoreBatching
  readonly #divisible: (error: unknown) => boolean
  #gathering: Pending<Request, Answer>[] = []
  #underWay = 0
  #scheduled = false
  #previous: Promise<void> | undefined

  /**
   * `divisible` says of an error whether it may be one entry's fault, so that the batch is to be sent in
   * parts.
   */
  constructor(
    send: (batch: readonly Request[]) => Promise<readonly Answer[]>,
    limits: StoreBatching,
    divisible: (error: unknown) => boolean,
  ) {
    this.#send = send
    this.#limits = limits
    this.#divisible = divisible
  }

  submit(request: Request): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#gathering.push({ request, resolve, reject })
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#scheduled || !this.#mayLeave()) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      while (this.#mayLeave()) this.#leave()
    })
  }

  #mayLeave(): boolean {
    const { batchMax, batchesInFlightMax } = this.#limits
    if (this.#underWay === 0) return this.#gathering.length > 0
    return this.#underWay < batchesInFlightMax && this.#gathering.length >= batchMax
  }

  #leave(): void {
    const whole = this.#gathering.length <= this.#limits.batchMax
    const batch = whole ? this.#gathering : this.#gathering.splice(0, this.#limits.batchMax)
    if (whole) this.#gathering = []
    this.#underWay += 1
    const before = this.#previous
    const mine = this.#deliver(batch, before).finally(() => {
      if (this.#previous === mine) this.#previous = undefined
    })
    this.#previous = mine
  }

  async #deliver(
    batch: readonly Pending<Request, Answer>[],
    before: Promise<void> | undefined,
  ): Promise<void> {
    const settle = await this.#ask(batch)
    this.#underWay -= 1
    this.#schedule()
    if (before !== undefined) await before
    settle()
  }

  /** Answers the function that gives the answers out; it never throws. */
  async #ask(batch: readonly Pending<Request, Answer>[]): Promise<() => void> {
    try {
      const answers = await this.#send(batch.map((each) => each.request))
      return () => batch.forEach((each, position) => each.resolve(answers[position] as Answer))
    } catch (error) {
      if (batch.length === 1 || !this.#divisible(error))
        return () => batch.forEach((each) => each.reject(error))
      const middle = batch.length >>> 1
      const first = await this.#ask(batch.slice(0, middle))
      const second = await this.#ask(batch.slice(middle))
      return () => {
        first()
        second()
      }
    }
  }
}
