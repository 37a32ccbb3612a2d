import type { Deduplicator } from '../deduplicator.ts'
import { requirePositions } from '../delivery/log-order.ts'
import type { Delivery, HoldReason, ProcessOutcome } from '../delivery/outcome.ts'
import type { SettlementPolicy } from '../delivery/settlement.ts'
import type { HeldMessage } from './held-message.ts'
import type { KeyOf } from './key.ts'

/** What a delivery loop is made of. */
export interface DeliveryLoopOptions<Message> {
  readonly dedup: Deduplicator<never>
  readonly key: KeyOf<Message>
  readonly policy: SettlementPolicy
  /** How many messages may be held unsettled at a time. */
  readonly window: number
  /** How many may be worked on at a time, of those that are held; those that wait are not worked on. */
  readonly concurrency: number
  /**
   * For how long a message may be held unsettled, in milliseconds; `Infinity` where the broker sets no bound.
   */
  readonly holdMs: number
  /** Whether the payload is hashed whatever the deduplicator's option says, since results are replayed. */
  readonly fingerprint?: boolean
  /** Whether each message has a position in a log, and those of a log come in its order. */
  readonly givesPositions?: boolean | undefined
  /** Called when a message was held for as long as it may be, and must not be received again too soon. */
  readonly onHoldOver?: (reason: HoldReason | 'unsettled' | 'waited') => void
  /** Called when a message was sent on: the broker takes copies. */
  readonly onSentOn?: () => void
  /** Called when the deduplicator turns out to be closed: nobody here will handle anything any more. */
  readonly onClosed?: () => void
}

/**
 * Tries a held message once: `process` with a handler, or `claim` for a consumer that settles by itself.
 * `undefined` means that the user's code has the message now, and settles it.
 */
export type Attempt<Message> = (
  held: HeldMessage<Message>,
  delivery: Delivery,
) => Promise<ProcessOutcome | undefined>

/** @throws OptionError where the strategy follows logs, and the messages have no positions. */
export function checked<Message>(options: DeliveryLoopOptions<Message>): DeliveryLoopOptions<Message> {
  requirePositions(options.dedup.settings.strategy, options.givesPositions === true)
  return options
}
