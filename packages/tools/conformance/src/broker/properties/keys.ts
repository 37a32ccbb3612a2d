import assert from 'node:assert/strict'
import { bodiesOf } from '../dead-letters.ts'
import type { BrokerProperty } from '../property.ts'

export const keys: BrokerProperty = {
  name: 'keys',
  cases: [
    {
      name: 'messages without a key are all handled, without protection',
      async run({ bench, seen, consume, until, quiet }) {
        const consumer = await consume({})
        for (const body of ['x', 'x', 'y']) await bench.send({ key: undefined, body })
        await until('all three are handled', () => seen.length === 3)
        await quiet()
        await consumer.close()
        assert.deepEqual(seen.map(({ body }) => body).toSorted(), ['x', 'x', 'y'])
        assert.deepEqual(
          seen.map(({ key, epoch }) => [key, epoch]),
          Array(3).fill([undefined, 0]),
        )
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
    {
      name: "with onMissingKey 'reject' a message without a key is dead-lettered whole, unseen",
      async run({ bench, seen, send, consume, deduplicator, until }) {
        const consumer = await consume({ dedup: deduplicator({ onMissingKey: 'reject' }) })
        await bench.send({ key: undefined, body: 'the body' })
        await send('a')
        await until('a is handled', () => seen.length === 1)
        await until('the other one is dead-lettered', async () => (await bench.deadLettered()).length === 1)
        await consumer.close()
        assert.deepEqual(bodiesOf(await bench.deadLettered()), ['the body'])
        assert.deepEqual(
          seen.map(({ body }) => body),
          ['a'],
        )
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
    {
      name: "with onMissingKey 'hash' the same payload is handled once",
      async run({ bench, seen, consume, deduplicator, until, quiet }) {
        const dedup = deduplicator({ onMissingKey: 'hash' })
        const consumer = await consume({ dedup })
        for (const body of ['x', 'x', 'y']) await bench.send({ key: undefined, body })
        await until('both are handled', () => seen.length === 2)
        await until('the copy is known', () => dedup.counts().duplicate >= 1)
        await quiet()
        await consumer.close()
        assert.deepEqual(
          seen.map(({ body }) => body),
          ['x', 'y'],
        )
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
    {
      name: 'a key that comes again with another payload is dead-lettered, unseen',
      async run({ bench, seen, send, consume, deduplicator, until }) {
        await consume({ dedup: deduplicator({ fingerprint: true }) })
        await send('a=first')
        await until('the first is handled', () => seen.length === 1)
        await send('a=second', 'a=first', 'b')
        await until('b is handled', () => seen.length === 2)
        await until(
          'the other payload is dead-lettered',
          async () => (await bench.deadLettered()).length === 1,
        )
        assert.deepEqual(bodiesOf(await bench.deadLettered()), ['second'])
        assert.deepEqual(
          seen.map(({ body }) => body),
          ['first', 'b'],
        )
      },
    },
  ],
}
