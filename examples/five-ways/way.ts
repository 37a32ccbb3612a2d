import type { DeduplicatorOptions, Store } from '@oncemq/core'
import type { ChannelModel } from 'amqplib'
import type { SimpleConsumer } from 'rocketmq-client-nodejs'
import type { Shop } from './shop.ts'
import type { Watch } from './watch.ts'

/** A way to be idempotent. Each is one file in `ways`, and reads like a consumer of yours. */
export interface Way {
  /** For people. */
  readonly title: string
  /** What tells a duplicate. */
  readonly guard: string
  readonly broker: 'rabbitmq' | 'rocketmq'
  /** Where its effect can be seen from the outside. */
  readonly effect: 'shop' | 'provider'
  /** Begins to consume. */
  start<Tx>(stand: Stand<Tx>): Promise<Running>
}

/** What a worker has. Each way opens what it needs. */
export interface Stand<Tx> {
  /** The same for each way. */
  readonly options: Omit<DeduplicatorOptions<Tx>, 'store' | 'strategy'>
  readonly queue: string
  /** Where the payment provider is. */
  readonly provider: string
  readonly watch: Watch
  readonly connection: () => Promise<ChannelModel>
  readonly simpleConsumer: () => SimpleConsumer
  readonly shop: () => Shop<Tx>
  /** Redis, or what stands for it. */
  readonly records: () => Store
}

/** A consumer and its deduplicator, to be closed in this order. */
export interface Running {
  readonly consumer: { close(): Promise<void> }
  readonly dedup: { close(): Promise<void> }
}
