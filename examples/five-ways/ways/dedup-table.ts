import { createDeduplicator } from '@oncemq/core'
import { consume } from '@oncemq/rabbitmq'
import { orderOf } from '../order.ts'
import type { Running, Stand, Way } from '../way.ts'

export const dedupTable: Way = {
  title: 'dedup table',
  guard: 'a record, committed together with the effect',
  broker: 'rabbitmq',
  effect: 'shop',
  start,
}

async function start<Tx>({ options, connection, queue, shop, watch }: Stand<Tx>): Promise<Running> {
  const { store, charge } = shop()
  // #region way
  const dedup = createDeduplicator({ ...options, store, strategy: 'transactional' })
  const consumer = await consume({
    connection: await connection(),
    queue,
    dedup,
    prefetch: 4,
    middlewares: [watch.delivery],
    handler: async ({ content }, { tx }) => {
      const order = orderOf(content)
      await charge(tx, order)
      await watch.charged(order)
    },
  })
  // #endregion
  return { consumer, dedup }
}
