// The same orders through five ways to be idempotent, on real servers, with the three causes of duplicates.
import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { connect } from 'amqplib'
import { PaymentProvider } from './payment-provider.ts'
import { ownPostgresShop } from './postgres-shop.ts'
import { RabbitmqQueue } from './rabbitmq.ts'
import { RocketmqTopic } from './rocketmq.ts'
import type { Outcome } from './scenario.ts'
import { ordersOf, play } from './scenario.ts'
import { RABBITMQ_URL } from './servers.ts'
import { startWorkerProcess } from './worker-process.ts'
import type { WayName } from './ways/index.ts'
import { wayNames, ways } from './ways/index.ts'

const BOUND_MS = 150_000

const { way: given = wayNames } = parseArgs({ options: { way: { type: 'string', multiple: true } } }).values
const chosen = wayNames.filter((name) => given.includes(name))
if (chosen.length < given.length) {
  console.error(`--way: expected some of ${wayNames.join(', ')}`)
  process.exit(2)
}

const signal = AbortSignal.timeout(BOUND_MS)
const run = randomBytes(6).toString('hex')
const plays = chosen.map((name) => playOn(name))
// If one fails, the others end first, and take their tables and queues away.
await Promise.allSettled(plays)
const outcomes = await Promise.all(plays)

const [first] = outcomes
console.log(
  `${first?.orders} orders, each sent twice; one worker killed after the effect, one before its ack`,
)
for (const [index, { charges, lost, twice, cents }] of outcomes.entries()) {
  const { title } = ways[chosen[index] as WayName]
  const money = `${(cents / 100).toFixed(2)} EUR`
  console.log(
    `${title.padEnd(15)}  ${charges} charges, ${money}: ${lost} orders lost, ${twice} charged twice`,
  )
}
const isRight = outcomes.every(({ orders, charges, lost, twice }) => lost + twice === 0 && charges === orders)
process.exitCode = isRight ? 0 : 1

/** Each way has a queue, a schema and a payment provider of its own. */
async function playOn(name: WayName): Promise<Outcome> {
  const way = ways[name]
  const orders = ordersOf(run)
  const schema = `five_ways_${run}_${name.replaceAll('-', '_')}`
  const queue = `five-ways-${run}-${name}`
  const source = await openSource(way.broker, queue)
  const provider = await PaymentProvider.open()
  const shop = ownPostgresShop(schema)
  try {
    await shop.prepare(orders)
    return await play(
      {
        send: (order, sending) => source.send(order, sending),
        startWorker: (fault, tell) =>
          startWorkerProcess({ way: name, queue, schema, provider: provider.url, fault }, tell),
        charges: async () => (way.effect === 'provider' ? provider.charges : shop.charges()),
      },
      orders,
      signal,
    )
  } finally {
    await source.close()
    await provider.close()
    await shop.remove()
  }
}

async function openSource(broker: 'rabbitmq' | 'rocketmq', name: string) {
  if (broker === 'rocketmq') return RocketmqTopic.open()
  const connection = await connect(RABBITMQ_URL)
  const queue = await RabbitmqQueue.declare(connection, name)
  return {
    send: queue.send.bind(queue),
    async close() {
      await queue.remove()
      await connection.close()
    },
  }
}
