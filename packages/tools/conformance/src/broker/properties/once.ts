import assert from 'node:assert/strict'
import type { BrokerProperty } from '../property.ts'

const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0)

export const once: BrokerProperty = {
  name: 'once',
  cases: [
    {
      name: 'a message is handled once, and its duplicates are acked unseen',
      async run({ bench, seen, send, consume, deduplicator, until, quiet }) {
        const dedup = deduplicator()
        const consumer = await consume({ dedup })
        await send('a', 'b', 'a', 'a', 'c', 'b')
        await until('a, b and c are handled', () => seen.length === 3)
        // A copy that came while its key was busy may come again later.
        await until('their copies are known', () => dedup.counts().duplicate >= 3)
        await quiet()
        await consumer.close()
        assert.deepEqual(seen.map(({ body }) => body).toSorted(), ['a', 'b', 'c'])
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
    {
      name: 'a duplicate that comes when its key is long done is acked unseen',
      async run({ bench, seen, send, consume, deduplicator, until, quiet }) {
        const consumer = await consume({ dedup: deduplicator({ doneCacheMax: 0 }) })
        await send('a')
        await until('a is handled', () => seen.length === 1)
        await quiet()
        await send('a', 'b')
        await until('b is handled', () => seen.length === 2)
        await consumer.close()
        assert.deepEqual(
          seen.map(({ body }) => body),
          ['a', 'b'],
        )
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
    {
      name: 'two processes of one group handle each key once between them',
      async run({ bench, seen, send, consume, deduplicator, until, quiet }) {
        const dedups = [deduplicator(), deduplicator()]
        const consumers = await Promise.all(dedups.map((dedup) => consume({ dedup })))
        const keys = Array.from({ length: 30 }, (_, position) => `k${position}`)
        await send(...keys.flatMap((key) => [key, key]))
        await until('all are handled', () => seen.length >= 30)
        await until('their copies are known', () => sum(dedups.map((each) => each.counts().duplicate)) >= 30)
        await quiet()
        await Promise.all(consumers.map((consumer) => consumer.close()))
        assert.deepEqual(seen.map(({ body }) => body).toSorted(), keys.toSorted())
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
    {
      name: 'the handler is told its key, epoch and attempt, and a signal that is not aborted',
      needs: 'context',
      async run({ seen, send, consume, until }) {
        await consume({})
        await send('a=the body')
        await until('a is handled', () => seen.length === 1)
        const { signal, body, key, epoch, attempt } = seen[0] ?? assert.fail('nothing was seen')
        assert.deepEqual({ body, key, epoch, attempt }, { body: 'the body', key: 'a', epoch: 1, attempt: 1 })
        assert.equal(signal.aborted, false)
      },
    },
  ],
}
