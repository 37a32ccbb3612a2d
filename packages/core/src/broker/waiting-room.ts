import type { WaitingPlace } from '../claims/waiters.ts'
import type { Clock } from '../time/clock.ts'
import { pause } from '../time/condition.ts'
import type { Semaphore } from '../time/semaphore.ts'

/** A message that waits for longer than this leaves half of the window to others. */
const LONG_WAIT_MS = 5000

/** What else ends a wait. */
export interface WaitWays {
  /** It can wait elsewhere, and leaves when its place is needed. */
  readonly mayLeave?: boolean
  readonly ending?: AbortSignal | undefined
}

/**
 * Where held messages wait, unsettled: for a busy key, for a retry, for the store. A bounded part of the
 * window waits, so that others go on; what waits has no slot.
 */
export class WaitingRoom {
  /** Where deliveries wait for a busy key. One for all of them. */
  readonly place: WaitingPlace
  readonly #window: number
  readonly #clock: Clock
  readonly #slots: Semaphore
  readonly #onChange: () => void
  #closing = new AbortController()
  #crowding = new AbortController()
  #isCrowded = false
  #waiting = 0
  #linedUp = 0

  /** `onChange` is called when a message begins to wait. */
  constructor(window: number, clock: Clock, slots: Semaphore, onChange: () => void) {
    this.#onChange = onChange
    this.#window = window
    this.#clock = clock
    this.#slots = slots
    const crowding = (): AbortSignal => this.#crowding.signal
    this.place = {
      enter: () => this.#enter(),
      leave: () => this.#leave(),
      lineUp: () => this.#lineUp(),
      get signal() {
        return crowding()
      },
    }
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting
  }

  /** How many have a slot, and wait for their turn to start. */
  get linedUp(): number {
    return this.#linedUp
  }

  /** Whether nobody shall wait here now. */
  get isClosed(): boolean {
    return this.#closing.signal.aborted
  }

  /** Aborts when nobody shall wait here any more. */
  get closing(): AbortSignal {
    return this.#closing.signal
  }

  /** Ends all waits, until `open`. */
  close(): void {
    this.#closing.abort()
  }

  open(): void {
    this.#closing = new AbortController()
  }

  /** Somebody needs the places: whoever can wait elsewhere leaves, until `relax`. */
  crowd(): void {
    this.#isCrowded = true
    this.#crowding.abort()
    this.#crowding = new AbortController()
  }

  /** There are places again. */
  relax(): void {
    this.#isCrowded = false
  }

  /** Whether there is a place for a message that waits for so long, for a busy key or for a retry. */
  hasPlace(delayMs: number, isBusy: boolean): boolean {
    if (this.#isCrowded) return false
    const isLong = isBusy || delayMs > LONG_WAIT_MS
    return this.#waiting < (isLong ? this.#half : this.#window - 1)
  }

  /**
   * Waits until the time is over, `signal` aborts, the room closes, or one of the `ways` to end says so.
   */
  async wait(delayMs: number, signal: AbortSignal, { mayLeave, ending }: WaitWays): Promise<void> {
    const ends = [signal, this.#closing.signal]
    if (mayLeave === true) ends.push(this.#crowding.signal)
    if (ending !== undefined) ends.push(ending)
    const all = AbortSignal.any(ends)
    this.#waiting += 1
    this.#onChange()
    await pause(this.#clock, delayMs, all)
    this.#waiting -= 1
  }

  get #half(): number {
    return Math.floor(this.#window / 2)
  }

  #enter(): boolean {
    if (this.#isCrowded || this.#waiting >= this.#half) return false
    this.#waiting += 1
    this.#slots.release()
    this.#onChange()
    return true
  }

  #lineUp(): () => void {
    this.#linedUp += 1
    this.#onChange()
    return () => {
      this.#linedUp -= 1
    }
  }

  #leave(): Promise<void> {
    this.#waiting -= 1
    return this.#slots.acquire()
  }
}
