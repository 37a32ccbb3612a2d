import assert from 'node:assert/strict'
import type { BrokerProperty } from '../property.ts'

export const sources: BrokerProperty = {
  name: 'sources',
  cases: [
    {
      name: 'one event that reaches two queues is handled for each',
      needs: 'two queues',
      async run({ bench, consume, deduplicator, until, quiet }) {
        const handled: string[] = []
        const dedup = deduplicator({ keyScope: 'source' })
        for (const queue of ['first', 'second'] as const) {
          await consume({ dedup, queue, handler: async () => void handled.push(queue) })
          for (let copy = 0; copy < 2; copy += 1) await bench.send({ key: 'a', body: 'a', queue })
        }
        await until('it is handled for both', () => handled.length === 2)
        await until('the copies are known', () => dedup.counts().duplicate >= 2)
        await quiet()
        assert.deepEqual(handled.toSorted(), ['first', 'second'])
      },
    },
  ],
}
