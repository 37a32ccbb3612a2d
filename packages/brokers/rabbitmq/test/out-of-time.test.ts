// A close that is out of time while the store does not say whether a key is done: the message comes again.
import { describeService } from '@oncemq/test-services/vitest'
import { describe, expect, test } from 'vitest'
import { consume, dedupChannel } from '../src/index.ts'
import { FlakyStore } from './flaky-store.ts'
import { connected, deduplicator, newQueue, readyIn, taken, until } from './set-up.ts'

const CLOSE = { timeoutMs: 200 }

describe.each(['rabbitmq-4.0', 'rabbitmq-3.10'] as const)('out of time', (name) => {
  describeService(name, ({ url }) => {
    async function setUp() {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection, 'quorum')
      const store = new FlakyStore()
      const dedup = deduplicator({ store, sweepEveryMs: 0 })
      const statuses: string[] = []
      for (const event of ['unconfirmed', 'completed'] as const) dedup.on(event, () => statuses.push(event))
      /** The work is done, and nothing that was to be acked for it was. */
      const expectItAgain = async (): Promise<void> => {
        await until('it is back', async () => (await readyIn(connection, queue)) === 1)
        expect((await taken(connection, queue)).fields.redelivered).toBe(true)
        expect(statuses).toEqual([])
      }
      return { connection, queue, send, store, dedup, expectItAgain }
    }

    test.each(['its consumer', 'the deduplicator'])('a close of %s first', async (which) => {
      const { connection, queue, send, store, dedup, expectItAgain } = await setUp()
      let runs = 0
      const handler = (): void => {
        runs += 1
        store.isDown = true
      }
      const consumer = await consume({ connection, queue, dedup, handler })
      await send('a')
      await until('the outage', () => dedup.outage !== undefined)
      if (which === 'its consumer') await consumer.close(CLOSE)
      await dedup.close(CLOSE)
      await consumer.close(CLOSE)
      await expectItAgain()
      expect(runs).toBe(1)
    })

    test('a close of the deduplicator before the wrapped channel', async () => {
      const { connection, queue, send, store, dedup, expectItAgain } = await setUp()
      const channel = dedupChannel(await connection.createChannel(), dedup)
      await channel.prefetch(1)
      await channel.consume(queue, (message) => {
        if (message === null) return
        store.isDown = true
        channel.ack(message)
      })
      await send('a')
      await until('the outage', () => dedup.outage !== undefined)
      await dedup.close(CLOSE)
      await channel.close()
      await expectItAgain()
    })
  })
})
