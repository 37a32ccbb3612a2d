import { describe, expect, test } from 'vitest'
import type { ClaimAnswer, ClaimRequest } from '../../src/store/index.ts'
import { inPieces, LockedRecords } from '../../src/store/index.ts'

const LOCKED = new Error('lock timeout')

function requestsOf(...ids: string[]): ClaimRequest[] {
  const [leaseMs, retentionMs] = [1000, 1000]
  return ids.map((id) => ({
    id,
    claimId: `claim of ${id}`,
    leaseMs,
    retentionMs,
    fingerprint: undefined,
    label: undefined,
  }))
}

/** A store in which some records are locked, and the calls that it got. */
function store(locked: Set<string>) {
  const calls: string[] = []
  const note = (way: string, batch: readonly ClaimRequest[]): void =>
    void calls.push(`${way} ${batch.map(({ id }) => id).join('')}`)
  const granted: ClaimAnswer = { status: 'granted', epoch: 1, attempt: 1 }
  const busy: ClaimAnswer = { status: 'busy', epoch: 1, leaseRemainingMs: 1 }
  const records = new LockedRecords({
    async usual(batch) {
      note('usual', batch)
      if (batch.some(({ id }) => id === 'down')) throw new Error('down')
      if (batch.some(({ id }) => locked.has(id))) throw LOCKED
      return batch.map(() => granted)
    },
    async careful(batch) {
      note('careful', batch)
      return batch.map(({ id }) => (locked.has(id) ? busy : granted))
    },
    isLockTaken: (error) => error === LOCKED,
  })
  const claim = async (...ids: string[]) =>
    (await records.claim(requestsOf(...ids))).map(({ status }) => status).join(' ')
  return { calls, claim }
}

test('a record that is known to be locked is asked for by itself, until it is not', async () => {
  const locked = new Set(['b'])
  const { calls, claim } = store(locked)
  expect(await claim('a', 'b', 'c')).toBe('granted busy granted')
  expect(await claim('d', 'b', 'e')).toBe('granted busy granted')
  locked.clear()
  expect(await claim('b', 'f')).toBe('granted granted')
  expect(await claim('b', 'g')).toBe('granted granted')
  expect(calls).toEqual([
    'usual abc',
    'careful abc',
    'careful b',
    'usual de',
    'careful b',
    'usual f',
    'usual bg',
  ])
})

test('a failure of another kind is one', async () => {
  await expect(store(new Set()).claim('down')).rejects.toThrow('down')
})

test('what is remembered has a bound', async () => {
  const ids = Array.from({ length: 20_001 }, (_, at) => `id ${at}`)
  const { calls, claim } = store(new Set(ids))
  await claim(...ids)
  await claim('id 0', 'id 20000')
  expect(calls.slice(2).toSorted()).toEqual(['careful id 20000', 'careful id 0', 'usual id 0'].toSorted())
})

describe('a batch in pieces', () => {
  /** Asks for all of a batch, some of which are locked, and answers how often it waited for these. */
  async function asked(count: number, isLocked: (at: number) => boolean, half = 0) {
    const free = new Set<number>()
    let waits = 0
    const ask = async (from: number, to: number): Promise<void> => {
      const piece = Array.from({ length: to - from }, (_, at) => from + at)
      if (piece.some((at) => isLocked(at))) {
        waits += 1
        throw LOCKED
      }
      for (const at of piece) free.add(at)
    }
    const random = { claimId: () => '', fraction: () => half }
    await inPieces(count, { ask, isLockTaken: (error) => error === LOCKED, random })
    return { free: free.size, waits }
  }

  test.each([0, 0.9])('finds the one that is locked, and all the others', async (half) => {
    for (const at of [0, 500, 999]) {
      expect((await asked(1000, (each) => each === at, half)).free).toBe(999)
    }
  })

  test.each([0, 0.9])('waits a number of times, however many are locked', async (half) => {
    expect(await asked(80, () => true, half)).toEqual({ free: 0, waits: 12 })
    const range = await asked(80, (at) => at < 40, half)
    expect(range).toEqual({ free: 40, waits: 12 })
    const scattered = await asked(80, (at) => at % 2 === 0, half)
    expect(scattered.waits).toBe(12)
    expect(scattered.free).toBeGreaterThan(0)
  })

  test('fails with what is no lock', async () => {
    const down = new Error('down')
    const random = { claimId: () => '', fraction: () => 0 }
    const ask = () => Promise.reject(down)
    await expect(inPieces(2, { ask, isLockTaken: () => false, random })).rejects.toBe(down)
  })
})
