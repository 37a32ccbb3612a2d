// Two versions of core: what one made is given to the other, and to the adapters and stores of either.
import * as core from '@oncemq/core'
import type { Middleware } from '@oncemq/core'
import { consume, dedupChannel } from '@oncemq/rabbitmq'
import type { AmqpChannel, ConsumeOptions } from '@oncemq/rabbitmq'
import { SqliteStore } from '@oncemq/sqlite'
import * as other from 'other-core'

const store = new SqliteStore({ path: 'shop.db' })
const options = { store, consumerGroup: 'billing', strategy: 'transactional' } as const

export const mine: core.Deduplicator<typeof store extends core.TransactionalStore<infer Tx> ? Tx : never> =
  other.createDeduplicator(options)
export const theirs: other.Deduplicator<
  typeof store extends other.TransactionalStore<infer Tx> ? Tx : never
> = core.createDeduplicator(options)

export function wrap(channel: AmqpChannel): unknown {
  return dedupChannel(
    channel,
    other.createDeduplicator({ store: new core.MemoryStore(), consumerGroup: 'a' }),
  )
}

export function start(given: ConsumeOptions): unknown {
  const dedup = other.createDeduplicator({ store: new other.MemoryStore(), consumerGroup: 'a' })
  return consume({ ...given, dedup })
}

export const stores: [core.Store, other.Store] = [new other.MemoryStore(), new core.MemoryStore()]
export const error: core.OncemqError = new other.PermanentError('closed')
export const strategy: core.TransactionStrategy = other.naturalKey({ constraint: 'orders.id' })
export const middleware: Middleware<string, void> = null as unknown as other.Middleware<string, void>
export function contextOf(context: other.HandlerContext): core.HandlerContext {
  return context
}
