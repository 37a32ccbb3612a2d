import assert from 'node:assert/strict'
import type { BrokerProperty } from '../property.ts'

export const busy: BrokerProperty = {
  name: 'busy',
  cases: [
    {
      name: 'a key that runs elsewhere is not handled beside it, and is acked unseen when it is done there',
      needs: 'several at once',
      async run({ bench, seen, send, consume, deduplicator, until, quiet }) {
        const elsewhere = await deduplicator().claim({ key: 'a' })
        assert.equal(elsewhere.status, 'granted')
        const dedup = deduplicator()
        const consumer = await consume({ dedup })
        await send('a', 'b')
        await until('b is handled', () => seen.length === 1)
        await quiet()
        assert.deepEqual(
          seen.map(({ key }) => key),
          ['b'],
        )
        if (elsewhere.status === 'granted') await elsewhere.claim.complete()
        await quiet()
        await send('c')
        await until('c is handled', () => seen.length === 2)
        await until('a is known to be done', () => dedup.counts().duplicate >= 1)
        await quiet()
        await consumer.close()
        assert.deepEqual(
          seen.map(({ key }) => key),
          ['b', 'c'],
        )
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
    {
      name: 'a key that is given back elsewhere is handled here',
      needs: 'context',
      async run({ bench, seen, send, consume, deduplicator, until, quiet }) {
        const elsewhere = await deduplicator().claim({ key: 'a' })
        const consumer = await consume({})
        await send('a')
        await quiet()
        assert.equal(seen.length, 0, 'messages that were handled')
        if (elsewhere.status === 'granted') await elsewhere.claim.release('failed')
        await until('a is handled', () => seen.length === 1)
        assert.deepEqual([seen[0]?.epoch, seen[0]?.attempt], [2, 2])
        await consumer.close()
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
    {
      name: 'what is busy past the waiting bound comes again later and is lost by no one',
      async run({ bench, seen, send, consume, deduplicator, until, quiet }) {
        const elsewhere = await deduplicator({ leaseMs: 1000 }).claim({ key: 'a' })
        const dedup = deduplicator({ busyTimeoutMs: 1 })
        const consumer = await consume({ dedup })
        await send('a')
        await until('a is given back', () => dedup.counts().busy >= 1)
        const given = dedup.counts().busy
        await quiet()
        assert.ok(dedup.counts().busy - given <= 3, 'a busy message comes again in a hot loop')
        if (elsewhere.status === 'granted') await elsewhere.claim.release('failed')
        await until('a is handled', () => seen.length === 1)
        await quiet()
        await consumer.close()
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
  ],
}
