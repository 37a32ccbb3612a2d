import assert from 'node:assert/strict'
import type { BrokerProperty } from '../property.ts'

export const outage: BrokerProperty = {
  name: 'outage',
  cases: [
    {
      name: 'while the store is down nothing is handled, and afterwards everything is, once',
      async run({ bench, store, seen, send, consume, until, quiet }) {
        const consumer = await consume({})
        await send('before')
        await until('the one before is handled', () => seen.length === 1)
        store.isDown = true
        const keys = Array.from({ length: 20 }, (_, position) => `k${position}`)
        await send(...keys)
        await quiet()
        await quiet()
        assert.equal(seen.length, 1, 'messages that were handled while the store was down')
        store.isDown = false
        await until('all are handled', () => seen.length >= 21)
        await quiet()
        await consumer.close()
        assert.deepEqual(seen.map(({ body }) => body).toSorted(), ['before', ...keys].toSorted())
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
    {
      name: 'while the store refuses nothing is handled, nothing is lost, and it is asked ever more slowly',
      async run({ bench, store, seen, send, consume, until, quiet }) {
        const consumer = await consume({})
        await send('before')
        await until('the one before is handled', () => seen.length === 1)
        store.isRefusing = true
        await send('a', 'b', 'c')
        await quiet()
        const before = store.claims
        for (let count = 0; count < 4; count += 1) await quiet()
        assert.ok(store.claims - before <= 20, `${store.claims - before} claims of what the store refuses`)
        assert.equal(seen.length, 1, 'messages that were handled')
        assert.deepEqual(await bench.deadLettered(), [])
        store.isRefusing = false
        await until('all are handled', () => seen.length >= 4)
        await quiet()
        await consumer.close()
        assert.deepEqual(seen.map(({ body }) => body).toSorted(), ['a', 'b', 'before', 'c'])
        assert.equal(await bench.remaining(), 0, 'messages that the broker still has')
      },
    },
    {
      name: 'a consumer that is closed while the store is down loses nothing',
      async run({ bench, store, seen, send, consume, until, quiet }) {
        const consumer = await consume({})
        await send('before')
        await until('the one before is handled', () => seen.length === 1)
        await quiet()
        store.isDown = true
        await send('a', 'b', 'c')
        await quiet()
        await consumer.close()
        await until('the broker has them', async () => (await bench.remaining()) === 3)
        assert.equal(seen.length, 1, 'messages that were handled')
      },
    },
  ],
}
