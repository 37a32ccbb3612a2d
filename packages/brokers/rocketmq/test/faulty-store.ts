import type { ClaimAnswer, ClaimRequest, ClaimUpdate, UpdateAnswer } from '@oncemq/core/store'
import { MemoryStore, OncemqError } from '@oncemq/core'

/** A store that can be taken away, or made to refuse. */
export class FaultyStore extends MemoryStore {
  fault: 'down' | 'refused' | undefined
  /** How often it was asked while it refused. */
  refusals = 0

  override async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    if (this.fault === 'down') throw new Error('down')
    if (this.fault === 'refused') {
      this.refusals += 1
      throw new OncemqError('ONCEMQ_STORE_REFUSED', 'permission denied; grant it')
    }
    return super.claim(batch)
  }

  override async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    if (this.fault === 'down') throw new Error('down')
    return super.update(batch)
  }
}
