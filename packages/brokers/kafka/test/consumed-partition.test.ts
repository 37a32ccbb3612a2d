import { expect, test } from 'vitest'
import { ConsumedPartition } from '../src/consumed-partition.ts'

function held(...offsets: readonly string[]): ConsumedPartition {
  const partition = new ConsumedPartition('orders', 0)
  for (const offset of offsets) partition.receive(offset)
  return partition
}

test('commits never pass a record that is held', () => {
  const partition = held('5', '6', '7')
  expect(partition.settle('6')).toBe(false)
  expect(partition.committable).toBeUndefined()
  expect(partition.settle('5')).toBe(true)
  expect(partition.committable).toBe('7')
  expect(partition.settle('7')).toBe(true)
  expect(partition.committable).toBe('8')
  expect(partition.size).toBe(0)
})

test('offsets have gaps where records of transactions and compacted ones were, and 64 bits', () => {
  const partition = held('9007199254740993', '9007199254741000')
  partition.settle('9007199254740993')
  expect(partition.committable).toBe('9007199254740994')
  partition.settle('9007199254741000')
  expect(partition.committable).toBe('9007199254741001')
})

test('what a client fetches again is held once', () => {
  const partition = held('5', '6')
  partition.settle('6')
  expect(['5', '6', '7'].map((offset) => partition.receive(offset))).toEqual([false, false, true])
})

test('what is settled after the partition was lost is committed by nobody', () => {
  const partition = held('5')
  partition.lose()
  expect(partition.signal.aborted).toBe(true)
  expect(partition.settle('5')).toBe(false)
})
