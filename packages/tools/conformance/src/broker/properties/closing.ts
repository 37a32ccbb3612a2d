import assert from 'node:assert/strict'
import type { BrokerProperty } from '../property.ts'

export const closing: BrokerProperty = {
  name: 'closing',
  cases: [
    {
      name: 'close waits for the handlers that run and acks what they did',
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
      needs: 'handing back',
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
