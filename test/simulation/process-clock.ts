import type { Clock, Timer } from '@oncemq/core/broker'
import type { VirtualClock } from '@oncemq/core/testing'

type State = 'running' | 'paused' | 'dead'

/**
 * The time of one simulated process. Time goes on while it is paused, but nothing of it happens until it goes
 * on; once it is dead nothing of it happens any more. Its wall clock is off by hours.
 */
export class ProcessClock implements Clock {
  readonly #world: VirtualClock
  readonly #skewMs: number
  readonly #waiting: (() => void)[] = []
  #state: State = 'running'
  #pauses = 0

  constructor(world: VirtualClock, skewMs: number) {
    this.#world = world
    this.#skewMs = skewMs
  }

  get state(): State {
    return this.#state
  }

  /** How often it was paused: what happened before a pause may be told late. */
  get pauses(): number {
    return this.#pauses
  }

  nowMs(): number {
    return this.#world.nowMs() + this.#skewMs
  }

  monotonicMs(): number {
    return this.#world.monotonicMs()
  }

  after(delayMs: number, action: () => void): Timer {
    let isCancelled = false
    const timer = this.#world.after(delayMs, () => this.happen(() => isCancelled || action()))
    return {
      cancel: () => {
        isCancelled = true
        timer.cancel()
      },
    }
  }

  /** Lets something reach this process: now, when it goes on, or never. */
  happen(event: () => unknown): void {
    if (this.#state === 'running') event()
    else if (this.#state === 'paused') this.#waiting.push(() => event())
  }

  pause(): void {
    if (this.#state !== 'running') return
    this.#state = 'paused'
    this.#pauses += 1
  }

  resume(): void {
    if (this.#state !== 'paused') return
    this.#state = 'running'
    for (const event of this.#waiting.splice(0)) this.happen(event)
  }

  kill(): void {
    this.#state = 'dead'
    this.#waiting.length = 0
  }
}
