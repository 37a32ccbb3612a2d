import type { Deduplicator } from '@oncemq/core'
import type { ChannelAcks } from './acks.ts'
import type { RawChannel } from './amqp.ts'
import type { CopySender } from './delivery.ts'
import type { HopSecret } from './hop-secret.ts'
import type { DedupChannelSettings } from './settings.ts'

/** What the consumers of one wrapped channel share. */
export interface WrappedServices {
  readonly channel: RawChannel
  readonly acks: ChannelAcks
  readonly copies: CopySender
  readonly dedup: Deduplicator<never>
  readonly settings: DedupChannelSettings
  readonly openChannel: () => Promise<RawChannel>
  readonly hopSecret: HopSecret
  /** The deduplicator is closed: no consumer of this channel is sent anything any more. */
  readonly stopAll: () => Promise<void>
}
