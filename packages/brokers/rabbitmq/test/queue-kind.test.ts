import { describeService } from '@oncemq/test-services/vitest'
import { describe, expect, test } from 'vitest'
import type { RawChannel } from '../src/amqp.ts'
import { isStream } from '../src/queue-kind.ts'
import { connected, newQueue, readyIn } from './set-up.ts'

describe.each(['rabbitmq-4.0', 'rabbitmq-3.10'] as const)('the kind of a queue', (name) => {
  describeService(name, ({ url }) => {
    test.each(['classic', 'quorum', 'stream'] as const)('%s, consumed or not', async (type) => {
      const connection = await connected(url)
      const { queue, channel } = await newQueue(connection, type)
      const open = async (): Promise<RawChannel> => (await connection.createChannel()) as never
      expect(await isStream(open, queue)).toBe(type === 'stream')
      await channel.prefetch(1)
      await channel.consume(queue, () => undefined)
      expect(await isStream(open, queue)).toBe(type === 'stream')
      await channel.deleteQueue(queue)
    })

    test('asking declares nothing, also where the queue has gone', async () => {
      const connection = await connected(url)
      const asked: string[] = []
      const open = async (): Promise<RawChannel> => {
        const channel = await connection.createChannel()
        const declare = channel.assertQueue.bind(channel)
        channel.assertQueue = (...args) => {
          asked.push('declared')
          return declare(...args)
        }
        return channel as never
      }
      const { queue, channel } = await newQueue(connection, 'stream')
      expect(await isStream(open, queue)).toBe(true)
      await channel.deleteQueue(queue)
      expect(await isStream(open, queue)).toBe(false)
      expect([asked, await readyIn(connection, queue)]).toEqual([[], undefined])
    })
  })
})
