// The queue where messages are put aside, as somebody else may have declared it.
import { PermanentError } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, test } from 'vitest'
import { connected, consuming, deduplicator, newQueue, quiet, readyIn, taken, until } from './set-up.ts'

/**
 * A confirm that was under way when the queue went is waited for, for 15 s; a message that is worn out by
 * then makes its consumer pause for a minute.
 */
const PARKED_WITHIN_MS = 90_000

describeService('rabbitmq-4.0', ({ url }) => {
  const refusals = {
    'is full': [{ 'x-max-length': 1, 'x-overflow': 'reject-publish' }, /a message could not be sent on/],
    'drops messages': [{ 'x-message-ttl': 1000 }, /delete it, choose another name \(parkingQueue\)/],
  } as const

  test.each(Object.entries(refusals))(
    'a parking queue that %s: held and told, its handler not run again, its attempts kept',
    { timeout: 60_000 + PARKED_WITHIN_MS },
    async (what, [parkingArguments, warning]) => {
      const connection = await connected(url)
      const { queue, send, channel } = await newQueue(connection, 'quorum')
      const parked = `${queue}.parked`
      await channel.assertQueue(parked, { durable: true, arguments: parkingArguments })
      if (what === 'is full') await newMessage(channel, parked)
      const dedup = deduplicator({ attemptsMax: 2 })
      const warnings: string[] = []
      dedup.on('warning', ({ message }) => void warnings.push(message))
      const runs: string[] = []
      await consuming({
        connection,
        queue,
        dedup,
        retry: { firstMs: 50 },
        ackTimeoutMs: 1000,
        ...(what === 'is full' && { parkingArguments }),
        handler: ({ content }) => {
          runs.push(content.toString())
          if (content.toString() !== 'good') throw new Error('always')
        },
      })
      await send('a', 'bad')
      // Long enough for many more returns than the broker allows, were each hold to count.
      await quiet(15_000)
      await send('b', 'good')
      await until('others go on', () => runs.includes('good'))
      expect(runs).toEqual(['bad', 'bad', 'good'])
      const told = warnings.filter((each) => each.startsWith('dead-letter'))
      expect(told).toEqual([expect.stringMatching(warning)])
      await channel.deleteQueue(parked)
      await until('parked', async () => (await readyIn(connection, parked)) === 1, PARKED_WITHIN_MS)
      expect(runs).toEqual(['bad', 'bad', 'good'])
      const { properties } = await taken(connection, parked)
      expect(properties.headers).toMatchObject({
        'x-oncemq-reason': 'attempts',
        'x-oncemq-attempts': 2,
      })
    },
  )

  test('a parking queue holds no more than it may', async () => {
    const connection = await connected(url)
    const { queue, send, channel } = await newQueue(connection)
    const parked = `${queue}.parked`
    await channel.assertQueue(parked, { durable: true })
    await newMessage(channel, parked)
    await newMessage(channel, parked)
    const dedup = deduplicator()
    const warnings: string[] = []
    dedup.on('warning', ({ message }) => void warnings.push(message))
    const handler = (): never => {
      throw new PermanentError('never')
    }
    await consuming({ connection, queue, dedup, parkedMax: 2, handler })
    await send('a')
    await until('a warning', () => warnings.some((each) => each.includes('parkedMax')))
    expect(await readyIn(connection, parked)).toBe(2)
    await channel.purgeQueue(parked)
    await until('parked', async () => (await readyIn(connection, parked)) === 1)
  })
})

async function newMessage(channel: Awaited<ReturnType<typeof newQueue>>['channel'], queue: string) {
  channel.sendToQueue(queue, Buffer.from('before'))
  await channel.waitForConfirms()
}
