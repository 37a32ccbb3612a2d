import assert from 'node:assert/strict'
import { PermanentError } from '@oncemq/core'
import { bodiesOf } from '../dead-letters.ts'
import type { BrokerProperty } from '../property.ts'

export const failure: BrokerProperty = {
  name: 'failure',
  cases: [
    {
      name: 'a handler that throws is started again, counts its attempts, and is acked when it succeeds',
      needs: 'context',
      async run({ bench, consume, send, deduplicator, until, quiet }) {
        const attempts: number[] = []
        const dedup = deduplicator()
        const consumer = await consume({
          dedup,
          async handler({ attempt }) {
            attempts.push(attempt)
            if (attempt < 3) throw new Error('not yet')
          },
        })
        await send('a')
        await until('three attempts', () => attempts.length === 3)
        await send('a')
        await until('the copy is known', () => dedup.counts().duplicate >= 1)
        await quiet()
        await consumer.close()
        assert.deepEqual(attempts, [1, 2, 3])
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
        assert.deepEqual(bodiesOf(await bench.deadLettered()), [])
      },
    },
    {
      name: 'a PermanentError dead-letters the message at once and frees its key for a replay',
      needs: 'dead-lettering',
      async run({ bench, consume, send, until, quiet }) {
        const bodies: string[] = []
        const consumer = await consume({
          async handler({ body }) {
            bodies.push(body)
            if (bodies.length === 1) throw new PermanentError('never')
          },
        })
        await send('a=first')
        await until('it is dead-lettered', async () => (await bench.deadLettered()).length === 1)
        await send('a=replay')
        await until('the replay is handled', () => bodies.length === 2)
        await quiet()
        await consumer.close()
        assert.deepEqual(bodies, ['first', 'replay'])
        assert.deepEqual(bodiesOf(await bench.deadLettered()), ['first'])
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
    {
      name: 'a message is dead-lettered when its attempts are used up',
      async run({ bench, consume, send, deduplicator, until, quiet }) {
        let starts = 0
        const consumer = await consume({
          dedup: deduplicator({ attemptsMax: 2 }),
          async handler() {
            starts += 1
            throw new Error('always')
          },
        })
        await send('a')
        await until('it is dead-lettered', async () => (await bench.deadLettered()).length === 1)
        await quiet()
        await consumer.close()
        assert.equal(starts, 2)
        assert.deepEqual(bodiesOf(await bench.deadLettered()), ['a'])
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
  ],
}
