import { expect, test } from 'vitest'

import { dialectOf } from '../src/dialect.ts'
import { entriesOf } from '../src/entries.ts'

const columns = {
  id: ([id]: readonly string[]) => `${id}`,
  owner: ([, owner]: readonly string[]) => `${owner}`,
  lease_ms: ([, , leaseMs]: readonly string[]) => `${leaseMs}`,
}
const mysql = dialectOf('8.0.40')

test('what all entries have in common is written once, where it is used', () => {
  const entries = entriesOf(
    [
      ['1', '7', '30'],
      ['2', '8', '30'],
    ],
    columns,
    mysql,
  )
  expect(entries.table).toBe('(VALUES ROW(1,7),ROW(2,8)) AS entry (id, owner)')
  expect(entries.value).toEqual({ id: 'entry.id', owner: 'entry.owner', lease_ms: '30' })
})

test('the first column is in the table, also of entries that are alike', () => {
  const entries = entriesOf(Array<string[]>(2).fill(['1', '7', '30']), columns, mysql)
  expect(entries.value).toEqual({ id: 'entry.id', owner: '7', lease_ms: '30' })
})

test('one entry has all in common with itself', () => {
  expect(entriesOf([['1', '7', '30']], columns, mysql).value).toEqual({ id: '1', owner: '7', lease_ms: '30' })
})

test('a column in which one entry differs is in the table', () => {
  const entries = entriesOf(
    [
      ['1', '7', 'NULL'],
      ['2', '7', '30'],
      ['3', '7', 'NULL'],
    ],
    columns,
    dialectOf('11.8.2-MariaDB'),
  )
  expect(entries.table).toContain('VALUES (1,NULL),(2,30),(3,NULL)')
  expect(entries.value).toEqual({ id: 'entry.id', owner: '7', lease_ms: 'entry.lease_ms' })
})
