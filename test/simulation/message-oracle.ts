import type { DeadLetter } from '@oncemq/core/broker'
import type { SimMessage } from './message.ts'
import { RETURNS_MANY } from './message.ts'
import type { Oracle } from './oracle.ts'
import type { Plan } from './plan.ts'

/** What became of one message, its copies included. */
interface Fate {
  readonly message: SimMessage
  /** How many of it are at the broker. */
  copies: number
  parked: number
  isExcused: boolean
  middlewareThrows: number
  returns: number
  /** Returns that the client asked for. */
  given: number
  readonly minutes: Map<string, Minute>
}

/** What happened to a message within a minute. */
interface Minute {
  count: number
  /** How many of it were there at a time: those that have ended meanwhile had their part in the count. */
  copiesMax: number
}

/** How often one thing may happen to one message within a minute. */
const PER_MINUTE_MAX = { start: 40, return: 40, copy: 70 }
/** What cannot be copied may be given back so often in its life. */
const GIVEN_MAX = 6
const MINUTE_MS = 60_000
/** A process that ends between a copy and its ack leaves two; these must not multiply. */
const COPIES_MAX = 60

/** Watches the messages at the broker, and says what must never happen to them. */
export class MessageOracle {
  readonly #oracle: Oracle
  readonly #plan: Plan
  readonly #nowMs: () => number
  readonly #idOf: (message: SimMessage) => string
  readonly #fates = new Map<number, Fate>()
  readonly letters: { readonly message: SimMessage; readonly letter: DeadLetter }[] = []

  constructor(oracle: Oracle, plan: Plan, nowMs: () => number, idOf: (message: SimMessage) => string) {
    this.#oracle = oracle
    this.#plan = plan
    this.#nowMs = nowMs
    this.#idOf = idOf
  }

  /** Messages that have not come to their end. */
  get open(): number {
    return Array.from(this.#fates.values()).filter(({ copies }) => copies > 0).length
  }

  get openNames(): string {
    const open = Array.from(this.#fates.values()).filter(({ copies }) => copies > 0)
    return open.map(({ message }) => `${message.number} (${message.kind})`).join(', ')
  }

  entered(message: SimMessage): void {
    this.#fate(message).copies += 1
    this.#oracle.tell(`message ${message.number} key ${message.key ?? '-'} ${message.kind}`)
  }

  copied(message: SimMessage): void {
    const fate = this.#fate(message)
    fate.copies += 1
    this.#oracle.tell(`copy ${message.number}`)
    this.#happened(message, 'copy')
    if (fate.copies === COPIES_MAX)
      this.#oracle.violated(`no-avalanche: ${COPIES_MAX} copies of ${message.number}`)
  }

  /** `byClient`: it was given back, and not left behind. */
  returned(message: SimMessage, byClient: boolean): void {
    this.#oracle.tell(`return ${message.number}`)
    this.#fate(message).returns += 1
    if (!byClient) return
    this.#fate(message).given += 1
    this.#happened(message, 'return')
  }

  acked(message: SimMessage): void {
    const fate = this.#fate(message)
    fate.copies -= 1
    this.#oracle.tell(`ack ${message.number}`)
    if (fate.copies === 0 && fate.parked === 0 && !this.#oracle.mayGo(this.#idOf(message))) {
      this.#oracle.violated(`ack-after-done: message ${message.number} was acked before it was done`)
    }
  }

  /** The broker deleted it by itself. */
  dropped(message: SimMessage, why: string): void {
    const fate = this.#fate(message)
    fate.copies -= 1
    this.#oracle.tell(`dropped ${message.number} ${why}`)
    // What cannot be copied is returned each time that its process ends, and nobody can help that.
    fate.isExcused ||= message.isUnsendable && fate.given <= GIVEN_MAX
    const isLast = fate.copies === 0 && fate.parked === 0 && !fate.isExcused
    if (isLast && !this.#oracle.mayGo(this.#idOf(message))) {
      this.#oracle.violated(`nothing-lost: message ${message.number} was deleted ${why}`)
    }
  }

  parked(message: SimMessage, letter: DeadLetter): void {
    const fate = this.#fate(message)
    fate.parked += 1
    this.letters.push({ message, letter })
    this.#oracle.tell(`parked ${message.number} ${letter.reason} after ${letter.attempts}`)
    // Without a record, nobody can tell that a return was no start.
    const isReturnedTooOften = message.key === undefined && fate.returns > this.#plan.attemptsMax + 2
    // Nor is there an end of what cannot be copied, but to put it aside when it was returned too often.
    const isWornOut = message.isUnsendable && fate.returns >= (message.key === undefined ? 1 : RETURNS_MANY)
    const why = this.#oracle.needless(this.#idOf(message), letter.reason, fate.middlewareThrows)
    if (!isReturnedTooOften && !isWornOut && why !== undefined) {
      this.#oracle.violated(
        `no-needless-dead-letter: message ${message.number} (${message.kind}), ${letter.reason} ` +
          `after ${letter.attempts}: ${why}`,
      )
    }
    this.#oracle.parked(this.#idOf(message))
  }

  middlewareThrew(message: SimMessage): void {
    this.#fate(message).middlewareThrows += 1
    this.#oracle.tell(`middleware threw ${message.number}`)
  }

  started(message: SimMessage): void {
    this.#happened(message, 'start')
    if (message.order === undefined) return
    for (const { message: other, copies, parked } of this.#fates.values()) {
      const isBefore = other.order === message.order && other.number < message.number
      if (!isBefore || copies === 0 || parked > 0 || this.#oracle.mayGo(this.#idOf(other))) continue
      this.#oracle.violated(`order: ${message.number} started while ${other.number} was unsettled`)
    }
  }

  heldTooLong(message: SimMessage): void {
    this.#oracle.tell(`held too long ${message.number}`)
    // What has an order is held until it is settled, as a source that keeps one renews it.
    if (message.order === undefined && !this.#oracle.isExcusedFromHolding) {
      this.#oracle.violated(`held-in-time: message ${message.number} was held beyond the broker's bound`)
    }
  }

  secondConsumer(): void {
    this.#oracle.violated('one-consumer: a second consumer of one process')
  }

  /** At the end: whatever was published was done, or is put aside. */
  finished(): void {
    for (const { message, parked, isExcused } of this.#fates.values()) {
      if (parked === 0 && !isExcused && !this.#oracle.hasSucceeded(this.#idOf(message))) {
        this.#oracle.violated(
          `nothing-lost: message ${message.number} (${message.kind}) is gone without effect`,
        )
      }
    }
  }

  #happened(message: SimMessage, what: keyof typeof PER_MINUTE_MAX): void {
    const { copies, minutes } = this.#fate(message)
    const minute = `${what} ${Math.floor(this.#nowMs() / MINUTE_MS)}`
    const seen = minutes.get(minute) ?? { count: 0, copiesMax: 1 }
    minutes.set(minute, seen)
    seen.count += 1
    seen.copiesMax = Math.max(seen.copiesMax, copies)
    if (seen.count < (PER_MINUTE_MAX[what] + 1) * seen.copiesMax) return
    this.#oracle.violated(
      `no-hot-loop: message ${message.number}: ${seen.count} of '${what}' in a minute, ` +
        `of ${seen.copiesMax} copies at most`,
    )
  }

  #fate(message: SimMessage): Fate {
    const known = this.#fates.get(message.number)
    if (known !== undefined) return known
    const fate = {
      message,
      copies: 0,
      parked: 0,
      isExcused: false,
      middlewareThrows: 0,
      returns: 0,
      given: 0,
      minutes: new Map<string, Minute>(),
    }
    this.#fates.set(message.number, fate)
    return fate
  }
}
