// The queues in which messages wait. RabbitMQ deletes a queue at its end with all that is in it.
import { describeService } from '@oncemq/test-services/vitest'
import { expect, onTestFinished, test } from 'vitest'
import { consume } from '../src/index.ts'
import { connected, deduplicator, newQueue, until } from './set-up.ts'

const WAIT_MS = 200

/** Makes a message wait once, and answers the name of its wait queue. */
async function waited(url: string, waitQueueType: 'quorum' | 'classic') {
  const connection = await connected(url)
  const { queue, send, channel } = await newQueue(connection)
  let runs = 0
  const consumer = await consume({
    connection,
    queue,
    dedup: deduplicator(),
    // With a window of one nothing waits where it is.
    prefetch: 1,
    retry: { firstMs: WAIT_MS },
    waitQueueType,
    handler: () => {
      runs += 1
      if (runs === 1) throw new Error('not yet')
    },
  })
  onTestFinished(() => consumer.close())
  await send('a')
  await until('a second run', () => runs === 2)
  const back = {
    'x-queue-type': waitQueueType,
    'x-message-ttl': WAIT_MS,
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': queue,
  }
  const name = `${queue}.retry.${WAIT_MS}${waitQueueType === 'classic' ? '.classic' : ''}`
  await channel.checkQueue(name)
  return { channel, name, back }
}

describeService('rabbitmq-4.0', ({ url }) => {
  // To declare a queue with other arguments than it has is refused.
  test('a quorum one has no end, as declaring it again would not put it off', async () => {
    const { channel, name, back } = await waited(url, 'quorum')
    const safe = { 'x-dead-letter-strategy': 'at-least-once', 'x-overflow': 'reject-publish' }
    const same = channel.assertQueue(name, { durable: true, arguments: { ...back, ...safe } })
    await expect(same).resolves.toMatchObject({ queue: name })
    await channel.deleteQueue(name)
  })

  test('a classic one ends when nothing was sent to it for long', async () => {
    const { channel, name, back } = await waited(url, 'classic')
    const same = channel.assertQueue(name, { durable: true, arguments: { ...back, 'x-expires': 120_400 } })
    await expect(same).resolves.toMatchObject({ queue: name })
  })

  test('declaring again puts off the end of a classic queue, and not of a quorum queue', async () => {
    const channel = await (await connected(url)).createChannel()
    const declare = (type: string) =>
      channel.assertQueue(`ends-${type}`, { arguments: { 'x-queue-type': type, 'x-expires': 3000 } })
    const made = { classic: await declare('classic'), quorum: await declare('quorum') }
    for (const { queue } of Object.values(made)) channel.sendToQueue(queue, Buffer.from('m'))
    const holds = async (type: string) => (await declare(type)).messageCount === 1
    await until('both to hold it', async () => (await holds('classic')) && (await holds('quorum')))
    await until(
      'the end of the quorum queue',
      async () => (await holds('classic')) && !(await holds('quorum')),
    )
    expect(await holds('classic')).toBe(true)
  })
})
