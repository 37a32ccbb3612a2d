import { expect, test } from 'vitest'

import { Bag } from '../src/bag.ts'

const ITEMS = 3

/** Every way for `length` of the items to follow each other, by their numbers. */
function sequences(length: number): readonly (readonly number[])[] {
  if (length === 0) return [[]]
  const rests = sequences(length - 1)
  return Array.from({ length: ITEMS }, (_, item) => rests.map((rest) => [item, ...rest])).flat()
}

test('a bag holds what a set would, in whatever order three items come and go', () => {
  for (const sequence of sequences(7)) {
    const items = Array.from({ length: ITEMS }, () => ({ bagPosition: -1 }))
    const bag = new Bag<{ bagPosition: number }>()
    const set = new Set<{ bagPosition: number }>()
    for (const item of sequence.map((number) => items[number] as { bagPosition: number })) {
      const went = set.delete(item)
      expect(bag.delete(item)).toBe(went)
      if (!went) {
        set.add(item)
        bag.add(item)
      }
      expect([bag.size, new Set(bag.items())]).toEqual([set.size, set])
    }
  }
})
