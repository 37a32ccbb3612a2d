import type { Delivery } from '../delivery/outcome.ts'
import type { HeldMessage } from './held-message.ts'

/** A message on its way through the delivery loop. */
export interface Passage<Message = unknown> {
  readonly held: HeldMessage<Message>
  readonly key: Delivery['key']
  readonly sinceMs: number
  starts: number
  /** Holds in a row, which wait ever longer. */
  holds: number
}
