// The judge of order is judged too.
import { expect, test } from 'vitest'
import type { Event } from './history.ts'
import { disorderIn } from './order.ts'

const run = (key: string): Event => ({ type: 'run', pid: 1, key, epoch: 1 })
const done = (key: string): Event => ({ type: 'done', pid: 1, key })
const known = (key: string): Event => ({ type: 'known', pid: 2, key })

test.each<[string, readonly Event[]]>([
  ['one after the other', [run('a'), done('a'), run('b'), done('b')]],
  ['a second run of the first', [run('a'), run('a'), done('a'), run('b')]],
  ['an end that was told by who asked', [run('a'), known('a'), run('b')]],
  ['another group beside it', [run('a'), run('x'), done('a'), run('b')]],
  ['a copy that comes late', [run('a'), done('a'), run('b'), known('a')]],
])('it finds nothing in %s', (_, events) => {
  expect(disorderIn(events, [['a', 'b'], ['x']])).toEqual([])
})

test.each<[string, readonly Event[]]>([
  ['the second one first', [run('b'), done('b'), run('a'), done('a')]],
  ['both side by side', [run('a'), run('b'), done('a')]],
  ['a first one that never ended', [run('a'), run('b')]],
  ['a first one that never ran', [run('b')]],
])('it finds %s', (_, events) => {
  expect(disorderIn(events, [['a', 'b']])).toEqual(['b: ran before a was done'])
})
