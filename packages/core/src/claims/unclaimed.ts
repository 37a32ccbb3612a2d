import type { Identity } from '../delivery/identity.ts'
import type { RunningClaim } from './claim.ts'
import type { Commit, Completion } from './start.ts'

/**
 * A start without a record: nothing is told to the store, and nothing can be lost to another worker. Others
 * wait for its end, as for that of any other.
 */
export class Unclaimed implements RunningClaim {
  readonly key: string | undefined
  readonly id: string | undefined
  readonly epoch = 0
  readonly attempt: number
  readonly isLost = false
  readonly takenOver = false
  readonly #controller = new AbortController()
  readonly #onEnd: () => void
  #isOver = false

  /**
   * `attempt` is what the broker counts; `identity` is left out for one that runs without protection. `onEnd`
   * is called once.
   */
  constructor(attempt: number, identity: Identity | undefined, onEnd: () => void) {
    this.attempt = attempt
    this.key = identity?.key
    this.id = identity?.id
    this.#onEnd = onEnd
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason)
  }

  async complete(): Promise<Completion> {
    this.#end()
    return 'completed'
  }

  async release(): Promise<void> {
    this.#end()
  }

  async forgive(): Promise<boolean> {
    return true
  }

  async commit(commit: Commit): Promise<Completion> {
    const answer = await commit(() => undefined)
    this.#end()
    return answer === 'ok' ? 'completed' : 'lost'
  }

  #end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#onEnd()
  }
}
