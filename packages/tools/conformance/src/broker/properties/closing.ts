import assert from 'node:assert/strict'
import type { BrokerProperty } from '../property.ts'

export const closing: BrokerProperty = {
  name: 'closing',
  cases: [
    {
      name: 'close waits for the handlers that run and acks what they did',
      needs: 'several at once',
      async run({ bench, send, consume, until, quiet, latch }) {
        const finish = latch()
        let [starts, ends, isClosed] = [0, 0, false]
        const consumer = await consume({
          async handler() {
            starts += 1
            await finish.opened
            ends += 1
          },
        })
        await send('a', 'b')
        await until('two handlers run', () => starts === 2)
        const closed = consumer.close().then(() => (isClosed = true))
        await quiet()
        assert.equal(isClosed, false, 'close came to its end while handlers run')
        finish.open()
        await closed
        assert.equal(ends, 2)
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
    {
      name: 'close leaves to others what did not start',
      needs: ['handing back', 'several at once'],
      async run({ bench, send, consume, until, quiet, latch }) {
        const finish = latch()
        let starts = 0
        const consumer = await consume({
          concurrency: 2,
          async handler() {
            starts += 1
            await finish.opened
          },
        })
        await send('a', 'b', 'c', 'd', 'e')
        await until('two handlers run', () => starts === 2)
        const closed = consumer.close()
        await quiet()
        finish.open()
        await closed
        assert.equal(starts, 2)
        assert.equal(await bench.remaining(), 3, 'messages that the broker still has')
      },
    },
    {
      name: 'a close that runs out of time acks nothing that still runs',
      needs: 'bounded close',
      async run({ bench, send, consume, until, latch }) {
        const finish = latch()
        let starts = 0
        const consumer = await consume({
          async handler() {
            starts += 1
            await finish.opened
          },
        })
        await send('a')
        await until('the handler runs', () => starts === 1)
        await consumer.close({ timeoutMs: 50 })
        await until('the broker has it again', async () => (await bench.remaining()) === 1)
        finish.open()
      },
    },
    {
      name: 'what is delivered after the deduplicator was closed goes to another process',
      async run({ bench, seen, send, consume, deduplicator, until, quiet }) {
        const dedup = deduplicator()
        const closed = await consume({ dedup })
        await send('before')
        await until('the one before is handled', () => seen.length === 1)
        await dedup.close()
        await send('a', 'b')
        await quiet()
        await closed.close()
        assert.equal(seen.length, 1, 'messages that were handled')
        const other = await consume({})
        await until('another process handles them', () => seen.length === 3)
        await other.close()
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
    {
      name: 'close may be called twice, and a new consumer goes on where the old one stopped',
      async run({ bench, seen, send, consume, until, quiet }) {
        const first = await consume({})
        await send('a')
        await until('a is handled', () => seen.length === 1)
        await Promise.all([first.close(), first.close()])
        await first.close()
        await send('b', 'a')
        const second = await consume({})
        await until('b is handled', () => seen.length === 2)
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
