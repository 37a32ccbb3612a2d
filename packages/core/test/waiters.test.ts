import { describe, expect, test } from 'vitest'

import { Waiters } from '../src/claims/waiters.ts'
import { Condition } from '../src/broker/index.ts'
import { VirtualClock } from '../src/testing/index.ts'
import { elapse, settle } from './elapse.ts'

function busyWait(limits = { busyTimeoutMs: 30_000, waitersMax: 2 }, fraction = 0.5) {
  const clock = new VirtualClock()
  const random = { claimId: () => '', fraction: () => fraction }
  return { clock, wait: new Waiters(limits, clock, random) }
}

/** What came of a promise so far. */
function track(promise: Promise<boolean>): { answer: boolean | 'waits' } {
  const tracked: { answer: boolean | 'waits' } = { answer: 'waits' }
  void promise.then((answer) => (tracked.answer = answer))
  return tracked
}

describe('waiting for another worker', () => {
  test('polls ever more slowly, up to a second', async () => {
    const { clock, wait } = busyWait()
    const delivery = wait.begin(undefined)
    const pauses: number[] = []
    for (let count = 0; count < 12; count += 1) {
      const answer = track(delivery.forLease(60_000))
      pauses.push(clock.nextInMs ?? -1)
      await elapse(clock, clock.nextInMs ?? 0)
      expect(answer.answer).toBe(true)
    }
    expect(pauses.slice(0, 4)).toEqual([19, 30, 48, 77])
    expect(pauses.slice(-2)).toEqual([750, 750])
  })

  test.each([
    [0, 13],
    [0.999_999, 25],
  ])('jitter takes between half and all of a pause: %d', (fraction, expectedMs) => {
    const { clock, wait } = busyWait(undefined, fraction)
    track(wait.begin(undefined).forLease(60_000))
    expect(clock.nextInMs).toBe(expectedMs)
  })

  test('asks again when the lease ends, if that is sooner', () => {
    const { clock, wait } = busyWait()
    track(wait.begin(undefined).forLease(3))
    expect(clock.nextInMs).toBe(3)
  })

  test('never polls without a pause, also when the lease is over by now', () => {
    const { clock, wait } = busyWait()
    track(wait.begin(undefined).forLease(-5))
    expect(clock.nextInMs).toBe(1)
  })

  test('ends at its bound, however often it polls', async () => {
    const { clock, wait } = busyWait({ busyTimeoutMs: 5000, waitersMax: 2 })
    const delivery = wait.begin(undefined)
    for (let polls = 0; polls < 100; polls += 1) {
      const answer = track(delivery.forLease(60_000))
      await elapse(clock, clock.nextInMs ?? 0)
      if (answer.answer === false) break
    }
    expect(clock.monotonicMs()).toBe(5000)
    expect(track(delivery.forLocal(new Condition()))).toEqual({ answer: 'waits' })
    expect(clock.nextInMs).toBeUndefined()
  })
})

describe('waiting for a delivery of this process', () => {
  test('ends when that one ends', async () => {
    const { clock, wait } = busyWait()
    const gate = new Condition()
    const answer = track(wait.begin(undefined).forLocal(gate))
    await settle()
    expect(answer.answer).toBe('waits')
    gate.open()
    await settle()
    expect([answer.answer, clock.nextInMs]).toEqual([true, undefined])
  })

  test('further deliveries than may wait are sent on at once, and places become free again', async () => {
    const { wait } = busyWait()
    const gate = new Condition()
    const answers = [1, 2, 3].map(() => track(wait.begin(undefined).forLocal(gate)))
    await settle()
    expect(answers.map(({ answer }) => answer)).toEqual(['waits', 'waits', false])
    gate.open()
    await settle()
    const later = track(wait.begin(undefined).forLocal(gate))
    await settle()
    expect(later.answer).toBe('waits')
  })

  test('none may wait with a bound of none, or of no time', async () => {
    for (const limits of [
      { busyTimeoutMs: 0, waitersMax: 5 },
      { busyTimeoutMs: 5000, waitersMax: 0 },
    ]) {
      const { wait } = busyWait(limits)
      expect(await wait.begin(undefined).forLocal(new Condition())).toBe(false)
    }
  })

  test('a signal ends the wait, and leaves no listener and no timer behind', async () => {
    const { clock, wait } = busyWait()
    const controller = new AbortController()
    const delivery = wait.begin(controller.signal)
    const answer = track(delivery.forLocal(new Condition()))
    controller.abort()
    await settle()
    expect([answer.answer, clock.nextInMs]).toEqual([true, undefined])
    expect(await delivery.forLocal(new Condition())).toBe(false)
  })
})
