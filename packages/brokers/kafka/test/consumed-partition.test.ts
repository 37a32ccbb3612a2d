import { expect, test } from 'vitest'
import type { Place } from '../src/consumed-partition.ts'
import { ConsumedPartition } from '../src/consumed-partition.ts'

function at(offset: string, timestamp = '1000'): Place {
  return { offset, timestamp }
}

function held(...offsets: readonly string[]): ConsumedPartition {
  const partition = new ConsumedPartition('orders', 0)
  for (const offset of offsets) partition.receive(at(offset))
  return partition
}

test('commits never pass a record that is held', () => {
  const partition = held('5', '6', '7')
  expect(partition.settle(at('6'))).toBe(false)
  expect(partition.committable).toBeUndefined()
  expect(partition.settle(at('5'))).toBe(true)
  expect(partition.committable).toBe('7')
  expect(partition.settle(at('7'))).toBe(true)
  expect(partition.committable).toBe('8')
  expect(partition.size).toBe(0)
})

test('offsets have gaps where records of transactions and compacted ones were, and 64 bits', () => {
  const partition = held('9007199254740993', '9007199254741000')
  partition.settle(at('9007199254740993'))
  expect(partition.committable).toBe('9007199254740994')
  partition.settle(at('9007199254741000'))
  expect(partition.committable).toBe('9007199254741001')
})

test('what a client fetches again is held once', () => {
  const partition = held('5', '6')
  partition.settle(at('6'))
  expect(['5', '6', '7'].map((offset) => partition.receive(at(offset)))).toEqual([false, false, true])
})

test('what is fetched again before it is committed sets no offset back', () => {
  const partition = held('5', '6', '7')
  partition.settle(at('5'))
  expect(['5', '6', '7'].map((offset) => partition.receive(at(offset)))).toEqual([false, false, false])
  partition.settle(at('6'))
  partition.settle(at('7'))
  expect(partition.committable).toBe('8')
  partition.committed('7')
  expect(['6', '7'].map((offset) => partition.receive(at(offset)))).toEqual([true, false])
})

test('a topic that is made anew has other records at the same offsets', () => {
  const partition = held('0', '1')
  partition.settle(at('0'))
  expect(['0', '1'].map((offset) => partition.receive(at(offset, '2000')))).toEqual([true, true])
  partition.settle(at('1'))
  expect(partition.committable).toBe('2')
  partition.settle(at('0', '2000'))
  expect(partition.committable).toBe('1')
})

test('what is not for a consumer is passed when all before it is settled', () => {
  const partition = held('5')
  expect(partition.pass('8')).toBe(false)
  expect(partition.settle(at('5'))).toBe(true)
  expect(partition.committable).toBe('9')
  expect(partition.pass('9')).toBe(true)
  expect(partition.committable).toBe('10')
})

test('what is settled after the partition was lost is committed by nobody', () => {
  const partition = held('5')
  partition.lose()
  expect(partition.signal.aborted).toBe(true)
  expect(partition.settle(at('5'))).toBe(false)
})
