import { describe, expect, test } from 'vitest'
import { ABSENT, FREE, MemorySegment, RUNNING } from '../src/memory/memory-segment.ts'
import { MemoryTable, readHex } from '../src/memory/memory-table.ts'

const KEYS = 300_000
// What one call may touch: a segment of some 16384 keys at its lowest load, with room for chance.
const WORK_MAX = 40_000

describe('MemoryTable', () => {
  const table = new MemoryTable(KEYS)

  test('grows without one call that pays for all keys', () => {
    let worst = 0
    for (let number = 0; number < KEYS; number += 1) worst = Math.max(worst, insert(table, idOf(number)))
    // A table in one piece would once move all of its keys in one call.
    expect(worst).toBeLessThan(WORK_MAX)
    expect(table.work / KEYS).toBeLessThan(6)
  })

  test('takes 70 to 88 bytes a key', () => {
    const bytesPerKey = table.bytes / KEYS
    expect(bytesPerKey).toBeGreaterThan(69)
    expect(bytesPerKey).toBeLessThan(89)
  })

  test('sweeps in short steps', () => {
    let before = table.work
    let removed = 0
    for (;;) {
      const count = table.sweep(1000, 100)
      const { work } = table
      expect(work - before).toBeLessThan(WORK_MAX)
      before = work
      removed += count
      if (count < 100) break
    }
    expect(removed).toBe(KEYS)
  })
})

describe('MemorySegment', () => {
  test('finds every record, with all of its fields, after others came, went and moved', () => {
    const segment = new MemorySegment()
    const all = Array.from({ length: 5000 }, (_, number) => number)
    for (const number of all) fill(segment, number)
    for (const number of all.filter(isRemoved)) segment.remove(segment.find(counted(number)))
    for (const number of all.filter(isRemoved)) expect(segment.find(counted(number))).toBe(ABSENT)
    for (const number of all.filter((each) => !isRemoved(each))) expectFilled(segment, number)
    for (const number of all.filter(isRemoved)) fill(segment, number)
    for (const number of all) expectFilled(segment, number)
    expect(segment.size).toBe(5000)
  })

  test('sweeps exactly what has expired, wherever it stands, and knows when to look again', () => {
    const segment = new MemorySegment()
    for (let number = 0; number < 3000; number += 1) fill(segment, number)
    expect(segment.sweep(999, Infinity)).toBe(0)
    expect(segment.sweep(1999, Infinity)).toBe(1000)
    for (let number = 0; number < 1000; number += 1) expect(segment.find(counted(number))).toBe(ABSENT)
    for (let number = 1000; number < 3000; number += 1) expectFilled(segment, number)
    const { work } = segment
    expect(segment.earliestExpiryMs).toBe(2000)
    expect(segment.sweep(1999, Infinity)).toBe(0)
    expect(segment.work).toBe(work)
  })

  test('keeps records apart whose ids end alike, and those whose words are NaN as doubles', () => {
    const segment = new MemorySegment()
    const ids = ['7ff80000', 'fff80001', '7ff00001', 'ffffffff'].map((word) =>
      readHex(word.repeat(4), words()),
    )
    for (const [at, id] of ids.entries()) segment.setClaim(segment.insert(id), id, at + 1)
    for (let number = 0; number < 100; number += 1) fill(segment, number)
    for (const [at, id] of ids.entries()) {
      const slot = segment.find(id)
      expect(segment.epoch(slot)).toBe(at + 1)
      expect(segment.isClaimedBy(slot, id)).toBe(true)
    }
  })
})

test('readHex reads all 32 digits', () => {
  expect([...readHex('0123456789abcdef00000000ffffffff', words())]).toEqual([
    0x01234567, 0x89abcdef, 0, 0xffffffff,
  ])
})

function isRemoved(number: number): boolean {
  return number % 3 === 0
}

/** A record of its own for each number; numbers below 1000 expire before 2000, and so on. */
function fill(segment: MemorySegment, number: number): void {
  const id = counted(number)
  const slot = segment.insert(id)
  expect(segment.state(slot)).toBe(FREE)
  segment.setClaim(slot, id, number + 1)
  segment.setState(slot, RUNNING, number)
  segment.setTimes(slot, number + 0.5, number + 1000)
  if (number % 2 === 0)
    segment.setExtras(slot, { fingerprint: undefined, label: `${number}`, result: undefined })
}

function expectFilled(segment: MemorySegment, number: number): void {
  const slot = segment.find(counted(number))
  expect({
    number,
    epoch: segment.epoch(slot),
    attempts: segment.attempts(slot),
    owned: segment.isClaimedBy(slot, counted(number)),
    leaseUntilMs: segment.leaseUntilMs(slot),
    expiresAtMs: segment.expiresAtMs(slot),
    label: segment.extras(slot)?.label,
  }).toEqual({
    number,
    epoch: number + 1,
    attempts: number,
    owned: true,
    leaseUntilMs: number + 0.5,
    expiresAtMs: number + 1000,
    label: number % 2 === 0 ? `${number}` : undefined,
  })
}

/** Answers the work of this call. */
function insert(table: MemoryTable, id: Uint32Array): number {
  const segment = table.segmentOf(id)
  const { work } = segment
  segment.setTimes(segment.insert(id), 0, 1000)
  return segment.work - work
}

/** Spread evenly, as the hashes of the core are, and different for each number. */
function idOf(number: number): Uint32Array {
  const first = Math.imul(number, 0x9e3779b1)
  return Uint32Array.of(first, Math.imul(first ^ (first >>> 15), 0x85ebca6b), number, 0)
}

/** An id that differs from others in its last digits only: the worst for a table. */
function counted(number: number): Uint32Array {
  return Uint32Array.from([0, 0, 0, number])
}

function words(): Uint32Array {
  return new Uint32Array(4)
}
