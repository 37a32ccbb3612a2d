import type { ClaimAnswer, ClaimRequest, ClaimUpdate, UpdateAnswer } from '@oncemq/core/store'
import { StoreError } from '@oncemq/core/store'
import type { Store } from '@oncemq/core'
import { MemoryStore } from '@oncemq/core'

/** A store that can be taken away, and that can be made to keep completions waiting. */
export interface SuiteStore extends Store {
  isDown: boolean
  /** Answers that it will not, as one does where a right is missing. */
  isRefusing: boolean
  /** How many calls it was asked to claim in. */
  readonly claims: number
  /** Completions wait until `letGo`. */
  hold(): void
  letGo(): void
}

/** The suite's own, in memory. */
export class SuiteMemoryStore extends MemoryStore implements SuiteStore {
  isDown = false
  isRefusing = false
  claims = 0
  #held: Promise<void> | undefined
  #letGo = (): void => undefined

  override async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    this.claims += 1
    this.#mayFail()
    return super.claim(batch)
  }

  override async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    this.#mayFail()
    if (batch.some(({ op }) => op === 'complete')) await this.#held
    return super.update(batch)
  }

  hold(): void {
    this.#held = new Promise((resolve) => (this.#letGo = resolve))
  }

  letGo(): void {
    this.#letGo()
    this.#held = undefined
  }

  #mayFail(): void {
    if (this.isRefusing) throw new StoreError('ONCEMQ_STORE_REFUSED', 'the store of the suite refuses')
    if (this.isDown) throw new Error('the store of the suite is down')
  }
}
