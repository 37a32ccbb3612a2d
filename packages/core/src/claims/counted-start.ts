import type { RunningClaim } from './claim.ts'
import type { Commit, Completion, ReleaseReason } from './start.ts'

/**
 * A start of a message that has no key, counted by a record of what it consists of. Nothing is kept when it
 * is done: another message that looks the same is no duplicate of it.
 */
export class CountedStart implements RunningClaim {
  readonly key = undefined
  readonly id = undefined
  readonly epoch = 0
  readonly #claim: RunningClaim

  constructor(claim: RunningClaim) {
    this.#claim = claim
  }

  get attempt(): number {
    return this.#claim.attempt
  }

  get signal(): AbortSignal {
    return this.#claim.signal
  }

  get isLost(): boolean {
    return this.#claim.isLost
  }

  get takenOver(): boolean {
    return this.#claim.takenOver
  }

  abort(reason: unknown): void {
    this.#claim.abort(reason)
  }

  async complete(): Promise<Completion> {
    await this.#claim.release('permanent')
    return 'completed'
  }

  release(reason: ReleaseReason): Promise<void> {
    return this.#claim.release(reason)
  }

  forgive(): Promise<boolean> {
    return this.#claim.forgive()
  }

  async commit(commit: Commit): Promise<Completion> {
    const answer = await commit(() => undefined)
    return answer === 'ok' ? this.complete() : 'lost'
  }
}
