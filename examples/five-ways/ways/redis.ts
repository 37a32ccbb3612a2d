import { createDeduplicator } from '@oncemq/core'
import { consume } from '@oncemq/rabbitmq'
import { orderOf } from '../order.ts'
import { chargeAt } from '../payment-provider.ts'
import type { Running, Stand, Way } from '../way.ts'

export const redis: Way = {
  title: 'Redis',
  guard: "a record with a lease, and the key at the provider's",
  broker: 'rabbitmq',
  effect: 'provider',
  start,
}

async function start<Tx>(stand: Stand<Tx>): Promise<Running> {
  const { options, connection, queue, provider, watch } = stand
  const store = stand.records()
  // #region way
  const dedup = createDeduplicator({ ...options, store, strategy: 'lease' })
  const consumer = await consume({
    connection: await connection(),
    queue,
    dedup,
    prefetch: 4,
    middlewares: [watch.delivery],
    handler: async ({ content }, { key = '' }) => {
      const order = orderOf(content)
      await chargeAt(provider, order, key) // called again with the same key, if this worker dies now
      await watch.charged(order)
    },
  })
  // #endregion
  return { consumer, dedup }
}
