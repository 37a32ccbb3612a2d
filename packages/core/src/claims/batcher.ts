import type { StoreBatching } from '../store/contract.ts'
import type { Clock } from '../time/clock.ts'

/** Who gets the answer to a request, once. It must not throw: its neighbours are answered after it. */
export interface Requester<Answer> {
  answered(answer: Answer): void
  failed(error: unknown): void
}

interface Batch<Request, Answer> {
  readonly requests: readonly Request[]
  readonly requesters: readonly Requester<Answer>[]
}

/** What an error says of the batch that failed with it. */
export interface BatchFaults {
  /** It may be the fault of one entry alone: the batch is sent again at once, in halves. */
  isOneEntrys(error: unknown): boolean
  /** It took too long, perhaps for one entry's sake: the batches after it are half as large. */
  isTooSlow(error: unknown): boolean
}

/** How many batches the batchers of one deduplicator have under way at its store, together. */
export interface StoreLoad {
  underWay: number
}

/** How much a longer answer counts for what is taken for the way to the store and back. */
const LONGER_SHARE = 0.01

/**
 * Group commit: while the store has enough to do, the next batch gathers. A lone request leaves at the end of
 * the current turn of the event loop's microtasks, never by a timer, so all messages of one read of the
 * socket share a batch.
 *
 * As long as few entries are under way, what waits leaves at once beside them: it would gain nothing by
 * waiting for an answer that is not its own. Few are as many as the store does in small calls while one
 * answer is on its way; so over a distant network many calls are under way, and beside the store few. Beyond
 * that a further batch leaves only when it has `batchMin` requests. A burst that finds the store idle leaves
 * in two: else the store rests while this process works on its answers, and this process while the store
 * works. Answers are given out in the order in which the requests came, also when a later batch is answered
 * first.
 */
export class Batcher<Request, Answer> {
  readonly #send: (batch: readonly Request[]) => Promise<readonly Answer[]>
  readonly #limits: StoreBatching
  readonly #faults: BatchFaults
  readonly #load: StoreLoad
  readonly #clock: Clock
  readonly #batchMin: number
  /** Less than `batchMax` after batches that took too long. */
  #sizeMax: number
  #requests: Request[] = []
  #requesters: Requester<Answer>[] = []
  #underWay = 0
  #entriesUnderWay = 0
  /** How long the store's quick answers take of late. */
  #wayMs = 0
  #scheduled = false
  #previous: Promise<void> | undefined

  constructor(
    send: (batch: readonly Request[]) => Promise<readonly Answer[]>,
    limits: StoreBatching,
    faults: BatchFaults,
    load: StoreLoad,
    clock: Clock,
  ) {
    this.#send = send
    this.#limits = limits
    this.#faults = faults
    this.#sizeMax = limits.batchMax
    this.#load = load
    this.#clock = clock
    this.#batchMin = limits.batchMin ?? limits.batchMax
  }

  /** For what happens with each message: no promise is made for it. */
  submit(request: Request, requester: Requester<Answer>): void {
    this.#requests.push(request)
    this.#requesters.push(requester)
    if (!this.#scheduled) this.#schedule()
  }

  /** The same as a promise. */
  ask(request: Request): Promise<Answer> {
    return new Promise((answered, failed) => this.submit(request, { answered, failed }))
  }

  #schedule(): void {
    if (!this.#mayLeave()) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      while (this.#mayLeave()) this.#leave()
    })
  }

  #mayLeave(): boolean {
    if (this.#requests.length === 0) return false
    if (this.#underWay === 0 || this.#hasRoom()) return true
    return (
      this.#underWay < this.#limits.batchesInFlightMax &&
      this.#requests.length >= Math.min(this.#batchMin, this.#sizeMax)
    )
  }

  #hasRoom(): boolean {
    const { light } = this.#limits
    if (light === undefined || this.#underWay >= light.callsMax) return false
    return this.#entriesUnderWay < Math.max(light.entriesMin, this.#wayMs * light.entriesPerMs)
  }

  #leave(): void {
    const batch = this.#cut()
    this.#underWay += 1
    this.#entriesUnderWay += batch.requests.length
    this.#load.underWay += 1
    const before = this.#previous
    const mine = this.#deliver(batch, before).finally(() => {
      if (this.#previous === mine) this.#previous = undefined
    })
    this.#previous = mine
  }

  #cut(): Batch<Request, Answer> {
    const { length } = this.#requests
    const isBurst = this.#load.underWay === 0 && length >= 2 * this.#batchMin
    const count = Math.min(this.#sizeMax, isBurst ? Math.ceil(length / 2) : length)
    if (count < length)
      return { requests: this.#requests.splice(0, count), requesters: this.#requesters.splice(0, count) }
    const whole = { requests: this.#requests, requesters: this.#requesters }
    this.#requests = []
    this.#requesters = []
    return whole
  }

  #shrink(size: number): void {
    this.#sizeMax = Math.max(1, Math.min(this.#sizeMax, Math.floor(size / 2)))
  }

  #grow(): void {
    this.#sizeMax = Math.min(this.#limits.batchMax, this.#sizeMax * 2)
  }

  async #deliver(batch: Batch<Request, Answer>, before: Promise<void> | undefined): Promise<void> {
    const sentMs = this.#clock.monotonicMs()
    const tell = await this.#tellingOf(batch)
    this.#learn(this.#clock.monotonicMs() - sentMs)
    this.#underWay -= 1
    this.#entriesUnderWay -= batch.requests.length
    this.#load.underWay -= 1
    if (!this.#scheduled) this.#schedule()
    if (before !== undefined) await before
    tell()
  }

  /** An answer that took longer may have waited for others; if all of them do, the way has become longer. */
  #learn(tookMs: number): void {
    const isFirst = this.#wayMs === 0
    const share = isFirst || tookMs < this.#wayMs ? 1 : LONGER_SHARE
    this.#wayMs += (tookMs - this.#wayMs) * share
  }

  /** Answers the function that gives the answers out; it never throws. */
  async #tellingOf({ requests, requesters }: Batch<Request, Answer>): Promise<() => void> {
    try {
      const answers = await this.#send(requests)
      if (requests.length >= this.#sizeMax) this.#grow()
      return () => requesters.forEach((each, position) => each.answered(answers[position] as Answer))
    } catch (error) {
      if (this.#faults.isTooSlow(error)) this.#shrink(requests.length)
      if (requests.length === 1 || !this.#faults.isOneEntrys(error))
        return () => requesters.forEach((each) => each.failed(error))
      const middle = requests.length >>> 1
      const first = await this.#tellingOf({
        requests: requests.slice(0, middle),
        requesters: requesters.slice(0, middle),
      })
      const second = await this.#tellingOf({
        requests: requests.slice(middle),
        requesters: requesters.slice(middle),
      })
      return () => {
        first()
        second()
      }
    }
  }
}
