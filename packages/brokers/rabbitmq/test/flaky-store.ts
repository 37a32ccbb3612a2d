import { type ClaimAnswer, type ClaimRequest, type ClaimUpdate, type UpdateAnswer } from '@oncemq/core/store'
import { MemoryStore } from '@oncemq/core'

/** A store that can be made to fail. */
export class FlakyStore extends MemoryStore {
  isDown = false
  /** Answers the small calls of probes, and fails at the work. */
  isBrownOut = false
  /** How often the work was tried in a brownout. */
  failures = 0

  override async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    this.#fail()
    if (this.isBrownOut && batch.some(({ label }) => label?.startsWith('oncemq ') !== true)) {
      this.failures += 1
      throw new Error('the store is overloaded')
    }
    return super.claim(batch)
  }

  override async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    this.#fail()
    return super.update(batch)
  }

  #fail(): void {
    if (this.isDown) throw new Error('the store is down')
  }
}
