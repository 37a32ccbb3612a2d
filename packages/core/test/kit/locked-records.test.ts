import { expect, test } from 'vitest'
import type { ClaimAnswer, ClaimRequest } from '../../src/store/index.ts'
import { LockedRecords } from '../../src/store/index.ts'

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
