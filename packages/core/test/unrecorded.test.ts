// Messages without a key, whose starts nothing counts but the broker and our copies.
import { describe, expect, test } from 'vitest'

import type { VirtualClock } from '../src/testing/index.ts'
import { elapse, settle } from './elapse.ts'
import { heldHandler, setUp } from './set-up.ts'

const LEASE_MS = 6000
const never = (): Promise<never> => new Promise(() => {})
const worker = { leaseMs: LEASE_MS, storeTimeoutMs: 1000, attemptsMax: 2, doneCacheMax: 0 }

describe('a message without a record', () => {
  test('is counted by the broker, whose returns are not all starts: more alone, then none', async () => {
    const all = await setUp(worker)
    const { started, handler, end } = heldHandler()
    const running = all.dedup.process({ key: 'running' }, handler('running'))
    await settle()
    const suspect = all.dedup.process({ key: undefined, startsBefore: 2 }, handler('suspect'))
    const after = all.dedup.process({ key: 'after' }, handler('after'))
    await settle()
    expect(started).toEqual(['running'])
    for (const name of ['suspect', 'after']) {
      end()
      await settle()
      expect(started.at(-1)).toBe(name)
    }
    end()
    await Promise.all([running, suspect, after])
    const spent = all.dedup.process({ key: undefined, startsBefore: 5 }, () => expect.unreachable())
    expect(await spent).toMatchObject({ status: 'rejected', reason: 'attempts', attempt: 5 })
    expect(all.told.at(-1)).toEqual({ name: 'rejected', key: undefined, reason: 'attempts' })
  })

  test('fails for the last time at its last attempt, and says which start it was', async () => {
    const all = await setUp(worker)
    const fail = (startsBefore: number) =>
      all.dedup.process({ key: undefined, startsBefore }, ({ attempt }) =>
        Promise.reject(new Error(`${attempt}`)),
      )
    expect(await fail(0)).toMatchObject({ final: false, attempt: 1, error: { message: '1' } })
    expect(await fail(1)).toMatchObject({ final: true, attempt: 2, reason: 'attempts' })
  })
})

describe('a suspect without a key', () => {
  const body = Buffer.from('poison')
  const suspect = { key: undefined, body, startsBefore: 9 }

  test.each([
    ['it is returned with each that ends the process', suspect, [3, 4, 5]],
    [
      'from its second start on where nobody counts',
      { ...suspect, startsBefore: 1, isUncounted: true },
      [2, 3, 4, 5],
    ],
  ])('is counted by a record of its own: %s', async (_, delivery, starts) => {
    const all = await setUp(worker)
    const attempts: number[] = []
    for (let life = 0; life <= starts.length; life += 1) {
      const { dedup, store } = await setUp({ apartFrom: all, ...worker })
      void dedup.process(delivery, ({ attempt }) => {
        attempts.push(attempt)
        return never()
      })
      await settle()
      store.hangs()
      await elapse(all.clock, LEASE_MS)
    }
    expect(attempts).toEqual(starts)
    expect(await all.dedup.process(delivery, () => expect.unreachable())).toMatchObject({
      status: 'rejected',
      reason: 'attempts',
      attempt: 5,
    })
    expect(all.told.at(-1)).toEqual({ name: 'rejected', key: undefined, reason: 'attempts' })
  })

  test('has a record of its own where it is told apart by more than its payload', async () => {
    const { dedup } = await setUp(worker)
    const empty = { ...suspect, body: Buffer.alloc(0) }
    const poison = await dedup.claim({ ...empty, whole: () => Buffer.from('poison') })
    if (poison.status !== 'unprotected') throw new Error('expected a claim')
    await poison.claim.release('spent')
    const neighbour = await dedup.claim({ ...empty, whole: () => Buffer.from('neighbour') })
    expect(neighbour).toMatchObject({ status: 'unprotected', claim: { attempt: 3 } })
  })

  test('is forgotten when it is done: another one of the same payload is no duplicate', async () => {
    const { dedup, told } = await setUp(worker)
    let runs = 0
    for (const attempt of [3, 3]) {
      const outcome = await dedup.process(suspect, (context) => {
        runs += 1
        expect(context).toMatchObject({ key: undefined, epoch: 0, attempt })
      })
      expect(outcome).toMatchObject({ status: 'completed', protected: false })
    }
    expect(runs).toBe(2)
    expect(told.filter((event) => 'key' in event && event.key !== undefined)).toEqual([])
  })

  test('runs without the record where messages are processed while the store is down', async () => {
    const { store, dedup } = await setUp({ ...worker, onStoreDown: 'process' })
    await dedup.open()
    store.hangs()
    const outcome = dedup.process({ ...suspect, startsBefore: 4 }, ({ attempt }) => expect(attempt).toBe(5))
    await elapse(dedup.settings.clock as VirtualClock, 60_000)
    expect((await outcome).status).toBe('completed')
  })

  test.each([
    ['with', { body, startsBefore: 2 }],
    ['without', { startsBefore: 2 }],
  ])('of a user who settles by himself is alone until he has, %s its payload', async (_, delivery) => {
    const { dedup } = await setUp(worker)
    const { started, handler, end } = heldHandler()
    const first = await dedup.claim({ key: undefined })
    const claimed = dedup.claim({ key: undefined, ...delivery })
    void dedup.process({ key: 'neighbour' }, handler('neighbour'))
    await settle()
    if (first.status !== 'unprotected') throw new Error('expected a claim')
    await first.claim.release('failed')
    await settle()
    const outcome = await claimed
    if (outcome.status !== 'unprotected') throw new Error('expected a claim')
    expect([outcome.claim.attempt, started]).toEqual([3, []])
    await outcome.claim.complete()
    await settle()
    expect(started).toEqual(['neighbour'])
    end()
  })
})
