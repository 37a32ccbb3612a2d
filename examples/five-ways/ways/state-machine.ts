import { createDeduplicator, stateMachine } from '@oncemq/core'
import { consume } from '@oncemq/rabbitmq'
import { orderOf } from '../order.ts'
import type { Running, Stand, Way } from '../way.ts'

export const stateMachineWay: Way = {
  title: 'state machine',
  guard: "the order's state, moved together with the effect",
  broker: 'rabbitmq',
  effect: 'shop',
  start,
}

async function start<Tx>({ options, connection, queue, shop, watch }: Stand<Tx>): Promise<Running> {
  const { store, charge } = shop()
  // #region way
  const strategy = stateMachine({
    table: 'orders',
    id: 'id',
    state: 'state',
    initial: 'pending',
    final: ['done'],
    transitions: { pay: { from: 'pending', to: 'paid' }, ship: { from: 'paid', to: 'done' } },
    read: ({ content }: { content: Buffer }) => ({ id: orderOf(content).id, transition: 'pay' }),
  })
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
      await watch.charged(order)
    },
  })
  // #endregion
  return { consumer, dedup }
}
