import { createDeduplicator, naturalKey } from '@oncemq/core'
import { consume } from '@oncemq/rabbitmq'
import { orderOf } from '../order.ts'
import type { Running, Stand, Way } from '../way.ts'

export const businessKey: Way = {
  title: 'business key',
  guard: "the handler's own insert, whose key is unique",
  broker: 'rabbitmq',
  effect: 'shop',
  start,
}

async function start<Tx>({ options, connection, queue, shop, watch }: Stand<Tx>): Promise<Running> {
  const { store, paymentKey, charge, enterPayment } = shop()
  // #region way
  const strategy = naturalKey({ constraint: paymentKey }) // such as 'payments_pkey'
  const dedup = createDeduplicator({ ...options, store, strategy })
  const consumer = await consume({
    connection: await connection(),
    queue,
    dedup,
    prefetch: 4,
    middlewares: [watch.delivery],
    handler: async ({ content }, { tx }) => {
      const order = orderOf(content)
      await charge(tx, order)
      await enterPayment(tx, order) // fails for a duplicate, and takes the charge back
      await watch.charged(order)
    },
  })
  // #endregion
  return { consumer, dedup }
}
