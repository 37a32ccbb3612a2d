import assert from 'node:assert/strict'
import type { BrokerProperty } from '../property.ts'

export const redelivery: BrokerProperty = {
  name: 'redelivery',
  cases: [
    {
      name: 'the redelivery of a message whose handler outlives its connection does not run beside it',
      needs: 'redelivery',
      async run({ bench, seen, send, consume, deduplicator, until, quiet, latch }) {
        const [dedup, finish] = [deduplicator(), latch()]
        let starts = 0
        const first = await consume({
          dedup,
          async handler() {
            starts += 1
            await finish.opened
          },
        })
        await send('a')
        await until('the handler runs', () => starts === 1)
        await first.cut()
        const other = deduplicator()
        const second = await consume({ dedup: other })
        await quiet()
        assert.deepEqual(seen, [])
        finish.open()
        await until('the key is done', async () => (await dedup.inspect('a'))?.state === 'done')
        await send('b')
        await until('b is handled', () => seen.length === 1)
        await until('the redelivery is known to be done', () => other.counts().duplicate >= 1)
        await quiet()
        await second.close()
        assert.deepEqual(
          seen.map(({ key }) => key),
          ['b'],
        )
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
    {
      name: 'the redelivery of a message that was done but not acked is acked unseen',
      needs: 'redelivery',
      async run({ bench, store, seen, send, consume, deduplicator, until, quiet }) {
        const dedup = deduplicator()
        await dedup.open()
        // It is a record too, and has to be there before completions are kept waiting.
        await dedup.secret()
        store.hold()
        const first = await consume({ dedup })
        await send('a')
        await until('a is handled', () => seen.length === 1)
        await first.cut()
        store.letGo()
        await until('the key is done', async () => (await dedup.inspect('a'))?.state === 'done')
        const other = deduplicator()
        const second = await consume({ dedup: other })
        await send('b')
        await until('b is handled', () => seen.length === 2)
        await until('the redelivery is known to be done', () => other.counts().duplicate >= 1)
        await quiet()
        await second.close()
        assert.deepEqual(
          seen.map(({ key }) => key),
          ['a', 'b'],
        )
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
  ],
}
