import type { HandlerContext } from '@oncemq/core'
import type { Claim, Clock, Timer } from '@oncemq/core/broker'
import { contextOf as claimContext } from '@oncemq/core/broker'
import type { HiddenMessage } from './hidden-message.ts'

/** How long before its message is delivered again a handler is told to stop. */
const NOTICE_MS = 1000

/** What a user's code is told about the message that it was given. */
export type MessageContext = Omit<HandlerContext, 'tx'>

/** What a message is given to a user with. */
export interface Grant {
  readonly claim: Claim
  readonly attemptsMax: number
  readonly holdMs: number
  readonly clock: Clock
  readonly warn: (message: string) => void
  /** Called when its last attempt has failed, and no record says so. */
  readonly onSpent: (() => void) | undefined
}

/**
 * A message that the user's code has. The broker may be out of reach meanwhile: the claim stays until the
 * hold ends, so that no other handler starts while this one runs.
 *
 *   granted ──holdMs──▶ renewed no more ──▶ signal aborts ──1 s──▶ delivered again: failed, key free
 *      └──────── acked, or given back by the user ◀───────┘
 */
export class GivenMessage {
  readonly hidden: HiddenMessage
  readonly #grant: Grant
  readonly #stopping = new AbortController()
  #timer: Timer | undefined
  #context: MessageContext | undefined
  #isTaken = false
  #isOver = false

  constructor(hidden: HiddenMessage, grant: Grant) {
    this.hidden = hidden
    this.#grant = grant
    this.#after(grant.holdMs, () => this.#renewNoMore())
  }

  /** The user's code has it from now on. False when it waited here for so long that others will have it. */
  take(): boolean {
    this.#isTaken = !this.#isOver
    return this.#isTaken
  }

  get context(): MessageContext {
    if (this.#context === undefined) {
      const { claim } = this.#grant
      const signal = AbortSignal.any([claim.signal, this.#stopping.signal])
      const { tx: _, ...told } = claimContext(claim, undefined)
      this.#context = { ...told, signal }
    }
    return this.#context
  }

  /**
   * Records it as done, and acks. It is renewed for as long as the store takes. Answers whether it was done.
   * @throws what `ack` throws.
   */
  async complete(onUnconfirmed: 'ack' | 'retry', ack: () => Promise<void>): Promise<boolean> {
    this.#timer?.cancel()
    this.hidden.hold.keep()
    const completion = await this.#grant.claim.complete()
    this.hidden.hold.stop()
    if (completion === 'completed' || (completion === 'unconfirmed' && onUnconfirmed === 'ack')) {
      await this.hidden.hold.last(ack)
      return true
    }
    return false
  }

  /** Hides it for exactly so long. If it is not acked by then, it has failed. @throws what `hide` throws. */
  async hideFor(delayMs: number, hide: () => Promise<void>): Promise<void> {
    // When it cannot be told, the hold ends as it would have ended.
    await this.hidden.hold.last(hide)
    this.#after(delayMs, () => void this.#fail())
  }

  /** Nobody has it and nobody will. */
  async giveBack(): Promise<void> {
    this.#timer?.cancel()
    await this.#grant.claim.release('unstarted')
    await this.hidden.giveBack()
  }

  #renewNoMore(): void {
    const { hold } = this.hidden
    hold.stop()
    this.#after(Math.max(0, hold.hiddenMs - NOTICE_MS), () => this.#tellOver())
  }

  #tellOver(): void {
    this.#isOver = true
    if (this.#isTaken) {
      this.#grant.warn(
        `a message was neither acked nor given back within holdMs (${this.#grant.holdMs}); ` +
          `its signal aborts, and it is delivered again; raise holdMs`,
      )
      this.#stopping.abort()
    }
    this.#after(this.hidden.hold.hiddenMs, () => void this.#fail())
  }

  /** After its last attempt it is not given to anybody again, but dead-lettered. */
  async #fail(): Promise<void> {
    const { claim, attemptsMax, onSpent } = this.#grant
    const isLast = this.#isTaken && claim.attempt >= attemptsMax
    if (isLast) onSpent?.()
    if (!this.#isTaken) await claim.release('unstarted')
    else await claim.release(isLast ? 'spent' : 'failed')
  }

  #after(delayMs: number, action: () => void): void {
    this.#timer?.cancel()
    this.#timer = this.#grant.clock.after(delayMs, action, 'background')
  }
}

/** A mark that the copies have too which the user's code makes of a message, such as `{ ...message }`. */
const MARK = Symbol('oncemq')
const given = new WeakMap<symbol, GivenMessage>()

/** Remembers a message that the user is given. */
export function remember(message: GivenMessage): void {
  const mark = Symbol('given')
  given.set(mark, message)
  Object.assign(message.hidden.message, { [MARK]: mark })
}

export function givenOf(message: unknown): GivenMessage | undefined {
  if (typeof message !== 'object' || message === null) return undefined
  const mark = (message as { [MARK]?: unknown })[MARK]
  return typeof mark === 'symbol' ? given.get(mark) : undefined
}

/**
 * The key, epoch, attempt and signal of a message that a wrapped consumer gave, or of a copy of it such as
 * `{ ...message }`; `undefined` for any other message. `signal` aborts when the lease is lost, or the message
 * is about to be delivered again.
 * @example
 * const { key, signal } = contextOf(message)
 */
export function contextOf(message: object): MessageContext | undefined {
  return givenOf(message)?.context
}
