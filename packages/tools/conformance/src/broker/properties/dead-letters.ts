import assert from 'node:assert/strict'
import { bodiesOf } from '../dead-letters.ts'
import type { BrokerProperty } from '../property.ts'

export const deadLetters: BrokerProperty = {
  name: 'dead letters',
  cases: [
    {
      name: 'a dead letter says why, after how many attempts, and with which error',
      needs: 'errors',
      async run({ bench, consume, send, deduplicator, until }) {
        const dedup = deduplicator({ attemptsMax: 2 })
        await consume({
          dedup,
          async handler() {
            throw new RangeError('out of stock')
          },
        })
        await send('a')
        await until('it is dead-lettered', async () => (await bench.deadLettered()).length === 1)
        const [letter] = await bench.deadLettered()
        assert.deepEqual(
          [letter?.reason, letter?.attempts, letter?.errorName, letter?.errorMessage],
          ['attempts', 2, 'RangeError', 'out of stock'],
        )
        await until('it is counted', () => dedup.counts().deadLettered === 1)
      },
    },
    {
      name: 'a message that is sent again after its dead letter is handled, from its first attempt on',
      needs: 'context',
      async run({ bench, consume, send, deduplicator, until, quiet }) {
        const attempts: number[] = []
        let isMended = false
        await consume({
          dedup: deduplicator({ attemptsMax: 2 }),
          async handler({ attempt }) {
            attempts.push(attempt)
            if (!isMended) throw new Error('not yet')
          },
        })
        await send('a')
        await until('it is dead-lettered', async () => (await bench.deadLettered()).length === 1)
        await quiet()
        isMended = true
        await send('a')
        await until('it is handled', () => attempts.length === 3)
        assert.deepEqual(attempts, [1, 2, 1])
      },
    },
    {
      name: 'an id that a program writes where it has none is dead-lettered, unseen',
      async run({ bench, consume, seen, send, until }) {
        await consume({})
        await send('undefined=first', 'undefined=second', 'a')
        await until('a is handled', () => seen.length === 1)
        await until('the others are dead-lettered', async () => (await bench.deadLettered()).length === 2)
        assert.deepEqual(bodiesOf(await bench.deadLettered()).toSorted(), ['first', 'second'])
        assert.deepEqual(bodiesOf(seen), ['a'])
      },
    },
    {
      name: 'what a handler does to its message does not reach the dead letter, nor its key',
      needs: ['changing messages', 'context'],
      async run({ bench, consume, send, deduplicator, until, quiet }) {
        const attempts: number[] = []
        const consumer = await consume({
          dedup: deduplicator({ attemptsMax: 3 }),
          concurrency: 1,
          async handler({ attempt, spoil }) {
            attempts.push(attempt)
            assert.ok(spoil, 'the bench gives no spoil()')
            spoil()
            throw new Error('spoiled')
          },
        })
        await send('a=as it came')
        await until('it is dead-lettered', async () => (await bench.deadLettered()).length === 1)
        await quiet()
        await consumer.close()
        assert.deepEqual(attempts, [1, 2, 3])
        assert.deepEqual(bodiesOf(await bench.deadLettered()), ['as it came'])
      },
    },
  ],
}
