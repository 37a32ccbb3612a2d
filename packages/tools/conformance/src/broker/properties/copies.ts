import assert from 'node:assert/strict'
import type { BrokerProperty } from '../property.ts'

export const copies: BrokerProperty = {
  name: 'copies',
  cases: [
    {
      name: 'a message that comes again is given to the handler as it first came',
      async run({ bench, consume, send, until, quiet }) {
        const arrivals: (string | undefined)[] = []
        const consumer = await consume({
          // With room for one, what waits cannot wait here.
          concurrency: 1,
          async handler({ body, key, arrival }) {
            arrivals.push(`${key} ${body} ${arrival}`)
            if (arrivals.length < 3) throw new Error('not yet')
          },
        })
        await send('a=the body')
        await until('three attempts', () => arrivals.length === 3)
        await quiet()
        await consumer.close()
        assert.equal(new Set(arrivals).size, 1, `it came as ${arrivals.join(', then as ')}`)
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
    {
      name: 'what waits for a busy key leaves room for others',
      needs: 'several at once',
      async run({ seen, send, consume, deduplicator, until }) {
        const elsewhere = await deduplicator().claim({ key: 'a' })
        assert.equal(elsewhere.status, 'granted')
        await consume({ concurrency: 4 })
        await send(...Array.from({ length: 12 }, () => 'a'), 'b', 'c', 'd', 'e')
        await until('the others are handled', () => seen.length >= 4)
        assert.deepEqual(seen.map(({ body }) => body).toSorted(), ['b', 'c', 'd', 'e'])
        if (elsewhere.status === 'granted') await elsewhere.claim.complete()
      },
    },
  ],
}
