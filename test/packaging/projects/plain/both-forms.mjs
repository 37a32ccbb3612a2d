// A service of which one part imports the packages and another, such as a library of the team's, requires
// them.
import { createRequire } from 'node:module'
import { connect } from '@onify/fake-amqplib'
import { createDeduplicator, isOncemqError, MemoryStore, PermanentError } from '@oncemq/core'
import * as rabbitmq from '@oncemq/rabbitmq'
import { StoreError } from '@oncemq/core/store'

const require = createRequire(import.meta.url)
const core = require('@oncemq/core')
const required = require('@oncemq/rabbitmq')

const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'billing' })
const connection = await connect('amqp://localhost')
const channel = rabbitmq.dedupChannel(await connection.createChannel(), dedup)
await channel.prefetch(10)
await channel.assertQueue('payments')
channel.sendToQueue('payments', Buffer.from('{}'), { messageId: 'm1' })
const key = await new Promise((resolve) => {
  // A library reads what the service's channel gave.
  void channel.consume('payments', (message) => {
    resolve(required.contextOf(message)?.key)
    channel.ack(message)
  })
})

let once = 0
const store = new core.MemoryStore()
const [one, other] = [createDeduplicator, core.createDeduplicator].map((create) =>
  create({ store, consumerGroup: 'billing' }),
)
await one.run('a', () => (once += 1))
await other.run('a', () => (once += 1))
await one.close()
// The store stays open for whoever uses it still.
const status = (await other.run('a', () => (once += 1))).status
const classes = [
  PermanentError === core.PermanentError,
  new core.OptionError('x') instanceof core.OncemqError,
]
const brands = [
  isOncemqError(new core.PermanentError('x')),
  core.isOncemqError(new StoreError('ONCEMQ_CLOSED', 'x')),
]
console.log(JSON.stringify({ key, once, status, classes, brands }))
process.exit()
