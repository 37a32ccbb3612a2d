// A handler that takes longer than the broker waits for its ack: the broker closes the channel and delivers
// again.
import { describeService } from '@oncemq/test-services/vitest'
import { connect } from 'amqplib'
import { expect, onTestFinished, test } from 'vitest'
import { consume } from '../src/index.ts'
import { connected, deduplicator, newQueue, quiet, readyIn, until } from './set-up.ts'

/** The timeout, and how often the broker looks at it, which no line of rabbitmq.conf can say. */
const env = {
  RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-rabbit consumer_timeout 1000 -rabbit channel_tick_interval 300',
}

describeService('rabbitmq-4.0', { own: true, env }, ({ url }) => {
  test('the handler goes on alone, and its message is acked when it comes again', async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection)
    const dedup = deduplicator()
    let [starts, channels] = [0, 0]
    const consumer = await consume({
      connect: async () => {
        const made = await connect(url)
        const createChannel = made.createChannel.bind(made)
        made.createChannel = (...options) => {
          channels += 1
          return createChannel(...options)
        }
        return made
      },
      queue,
      dedup,
      handler: async () => {
        starts += 1
        await quiet(3000)
      },
    })
    onTestFinished(() => consumer.close({ timeoutMs: 100 }))
    await send('a')
    await until('another channel', () => channels >= 2)
    await until('the end of the handler', () => dedup.counts().completed === 1)
    await until('the duplicate', () => dedup.counts().duplicate >= 1)
    await consumer.close()
    expect(starts).toBe(1)
    expect(await readyIn(connection, queue)).toBe(0)
  })
})
