import { expect, test } from 'vitest'

import { LinkedList } from '../src/broker/index.ts'

class Item {
  earlier: this | undefined
  later: this | undefined
}

const ITEMS = 3

/** Every way for `length` of the items to follow each other, by their numbers. */
function sequences(length: number): readonly (readonly number[])[] {
  if (length === 0) return [[]]
  const rests = sequences(length - 1)
  return Array.from({ length: ITEMS }, (_, item) => rests.map((rest) => [item, ...rest])).flat()
}

test('a list holds what a set would, in the same order, in whatever order three items come and go', () => {
  for (const sequence of sequences(7)) {
    const items = Array.from({ length: ITEMS }, () => new Item())
    const list = new LinkedList<Item>()
    const set = new Set<Item>()
    for (const item of sequence.map((number) => items[number] as Item)) {
      const went = set.delete(item)
      expect(list.delete(item)).toBe(went)
      if (!went) {
        set.add(item)
        list.add(item)
      }
      expect([...list].map((each) => items.indexOf(each))).toEqual(
        [...set].map((each) => items.indexOf(each)),
      )
      expect(list.first).toBe([...set][0])
    }
    expect(items.filter((item) => !set.has(item) && (item.earlier ?? item.later))).toEqual([])
  }
})
