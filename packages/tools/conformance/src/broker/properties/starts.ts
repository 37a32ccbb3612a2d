import assert from 'node:assert/strict'
import { bodiesOf } from '../dead-letters.ts'
import type { BrokerProperty } from '../property.ts'

export const starts: BrokerProperty = {
  name: 'starts',
  cases: [
    {
      name: 'a message without a key whose handler throws is dead-lettered when its attempts are used up',
      needs: ['counting', 'context'],
      async run({ bench, consume, deduplicator, until, quiet }) {
        const attempts: number[] = []
        const consumer = await consume({
          dedup: deduplicator({ attemptsMax: 3 }),
          concurrency: 1,
          async handler({ attempt }) {
            attempts.push(attempt)
            throw new Error('always')
          },
        })
        await bench.send({ key: undefined, body: 'unkeyed' })
        await until('it is dead-lettered', async () => (await bench.deadLettered()).length === 1)
        await quiet()
        await consumer.close()
        assert.deepEqual(attempts, [1, 2, 3])
        assert.deepEqual(bodiesOf(await bench.deadLettered()), ['unkeyed'])
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
    {
      name: 'a message whose handler ends its process, time and again, is dead-lettered',
      async run({ bench, consume, send, deduplicator, until, latch }) {
        const hang = latch()
        let count = 0
        await send('a')
        // Each time the process is gone in the midst of the handler: its lease runs out, its connection is
        // cut.
        for (let crash = 1; crash <= 2; crash += 1) {
          const dedup = deduplicator({ attemptsMax: 1, leaseMs: 400 })
          const consumer = await consume({
            dedup,
            async handler() {
              count += 1
              await hang.opened
            },
          })
          await until('the handler runs', () => count === crash)
          await dedup.close({ timeoutMs: 0 })
          await consumer.cut()
        }
        await consume({ dedup: deduplicator({ attemptsMax: 1, leaseMs: 400 }) })
        await until('it is dead-lettered', async () => (await bench.deadLettered()).length >= 1)
        assert.equal(count, 2)
        hang.open()
      },
    },
    {
      name: 'messages of one key that are held together have its attempts together, and are dead-lettered',
      needs: ['several at once', 'dead-lettering'],
      async run({ bench, consume, send, deduplicator, until, quiet }) {
        const attempts: number[] = []
        await send('a', 'a', 'a')
        const consumer = await consume({
          dedup: deduplicator({ attemptsMax: 2 }),
          concurrency: 4,
          async handler({ attempt }) {
            attempts.push(attempt)
            // Until the others are held too.
            await quiet()
            throw new Error('always')
          },
        })
        await until('they are dead-lettered', async () => (await bench.deadLettered()).length === 3)
        await quiet()
        await consumer.close()
        assert.deepEqual(attempts, [1, 2])
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
    {
      name: 'what a middleware throws counts, and ends as a dead letter',
      needs: 'middlewares',
      async run({ bench, consume, send, seen, deduplicator, until, quiet }) {
        let throws = 0
        const consumer = await consume({
          dedup: deduplicator({ attemptsMax: 3 }),
          async middleware(body) {
            if (body !== 'a') return
            throws += 1
            throw new Error('a middleware')
          },
        })
        await send('a', 'b')
        await until('a is dead-lettered', async () => (await bench.deadLettered()).length === 1)
        await until('b is handled', () => seen.length === 1)
        await quiet()
        await consumer.close()
        assert.equal(throws, 3)
        assert.deepEqual(bodiesOf(await bench.deadLettered()), ['a'])
      },
    },
    {
      name: 'a success stays one, whatever the handler answers',
      needs: 'answers',
      async run({ bench, consume, send, until, quiet }) {
        let count = 0
        const consumer = await consume({
          async handler() {
            count += 1
            return { rows: 1n }
          },
        })
        await send('a', 'b')
        await until('both are handled', () => count === 2)
        await quiet()
        await consumer.close()
        assert.equal(count, 2)
        assert.deepEqual(await bench.deadLettered(), [])
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
  ],
}
