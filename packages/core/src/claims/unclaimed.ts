import type { Identity } from '../delivery/identity.ts'
import type { Commit, Completion, Start } from './start.ts'

/** A start without a record: nothing is told to the store, and nothing can be lost to another worker. */
export class Unclaimed implements Start {
  readonly key: string | undefined
  readonly id: string | undefined
  readonly epoch = 0
  readonly attempt: number
  readonly isLost = false
  readonly takenOver = false
  readonly #controller = new AbortController()

  /** `attempt` is what the broker counts; `identity` is left out for one that runs without protection. */
  constructor(attempt: number, identity?: Identity) {
    this.attempt = attempt
    this.key = identity?.key
    this.id = identity?.id
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason)
  }

  async complete(): Promise<Completion> {
    return 'completed'
  }

  async release(): Promise<void> {}

  async forgive(): Promise<boolean> {
    return true
  }

  async commit(commit: Commit): Promise<Completion> {
    const answer = await commit(() => undefined)
    return answer === 'ok' ? 'completed' : 'lost'
  }
}
