import { createDeduplicator } from '@oncemq/core'
import { consume, messageKeys } from '@oncemq/rocketmq'
import { orderOf } from '../order.ts'
import type { Running, Stand, Way } from '../way.ts'

export const rocketmqKeys: Way = {
  title: "RocketMQ's keys",
  guard: 'the keys of the message, and a record of them',
  broker: 'rocketmq',
  effect: 'shop',
  start,
}

async function start<Tx>({ options, simpleConsumer, shop, watch }: Stand<Tx>): Promise<Running> {
  const { store, charge } = shop()
  // #region way
  const dedup = createDeduplicator({ ...options, store, strategy: 'transactional' })
  const consumer = await consume({
    consumer: simpleConsumer(),
    dedup,
    concurrency: 4,
    invisibleMs: 10_000, // how long the messages of a killed worker wait
    key: messageKeys({ without: 'none' }), // the default would take the broker's id for a message without
    middlewares: [watch.delivery],
    handler: async ({ body }, { tx }) => {
      const order = orderOf(body)
      await charge(tx, order)
      await watch.charged(order)
    },
  })
  // #endregion
  return { consumer, dedup }
}
