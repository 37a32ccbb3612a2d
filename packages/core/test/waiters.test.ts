import { describe, expect, test } from 'vitest'

import { Waiters } from '../src/claims/waiters.ts'
import { LocalKey } from '../src/claims/local-keys.ts'
import { VirtualClock } from '../src/testing/index.ts'
import { elapse, settle } from './elapse.ts'

function busyWait(limits = { busyTimeoutMs: 30_000, waitersMax: 2 }, fraction = 0.5) {
  const clock = new VirtualClock()
  const random = { claimId: () => '', fraction: () => fraction }
  return { clock, wait: new Waiters(limits, clock, random) }
}

/** What came of a promise so far. */
function track<Answer>(promise: Promise<Answer>): { answer: Answer | 'waits' } {
  const tracked: { answer: Answer | 'waits' } = { answer: 'waits' }
  void promise.then((answer) => (tracked.answer = answer))
  return tracked
}

describe('waiting for another worker', () => {
  test('polls ever more slowly, up to a second', async () => {
    const { clock, wait } = busyWait()
    const delivery = wait.begin(undefined, undefined)
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
    track(wait.begin(undefined, undefined).forLease(60_000))
    expect(clock.nextInMs).toBe(expectedMs)
  })

  test('asks again when the lease ends, if that is sooner', () => {
    const { clock, wait } = busyWait()
    track(wait.begin(undefined, undefined).forLease(3))
    expect(clock.nextInMs).toBe(3)
  })

  test('never polls without a pause, also when the lease is over by now', () => {
    const { clock, wait } = busyWait()
    track(wait.begin(undefined, undefined).forLease(-5))
    expect(clock.nextInMs).toBe(1)
  })

  test('ends at its bound, however often it polls', async () => {
    const { clock, wait } = busyWait({ busyTimeoutMs: 5000, waitersMax: 2 })
    const delivery = wait.begin(undefined, undefined)
    for (let polls = 0; polls < 100; polls += 1) {
      const answer = track(delivery.forLease(60_000))
      await elapse(clock, clock.nextInMs ?? 0)
      if (answer.answer === false) break
    }
    expect(clock.monotonicMs()).toBe(5000)
    expect(await delivery.forLocal(new LocalKey())).toBeUndefined()
    expect(clock.nextInMs).toBeUndefined()
  })
})

describe('waiting for a delivery of this process', () => {
  const done = { fingerprint: undefined, result: Buffer.from('x') }

  test('ends when that one ends, with what it was done with', async () => {
    const { clock, wait } = busyWait()
    const key = new LocalKey()
    const answer = track(wait.begin(undefined, undefined).forLocal(key))
    await settle()
    expect(answer.answer).toBe('waits')
    key.end(done)
    await settle()
    expect([answer.answer, clock.nextInMs]).toEqual([{ done }, undefined])
  })

  test('further deliveries than may wait are sent on at once, and places become free again', async () => {
    const { wait } = busyWait()
    const key = new LocalKey()
    const answers = [1, 2, 3].map(() => track(wait.begin(undefined, undefined).forLocal(key)))
    await settle()
    expect(answers.map(({ answer }) => answer)).toEqual(['waits', 'waits', undefined])
    key.end(undefined)
    await settle()
    expect(answers[0]?.answer).toEqual({ done: undefined })
    const later = track(wait.begin(undefined, undefined).forLocal(new LocalKey()))
    await settle()
    expect(later.answer).toBe('waits')
  })

  test('none may wait with a bound of none, or of no time', async () => {
    for (const limits of [
      { busyTimeoutMs: 0, waitersMax: 5 },
      { busyTimeoutMs: 5000, waitersMax: 0 },
    ]) {
      const { wait } = busyWait(limits)
      expect(await wait.begin(undefined, undefined).forLocal(new LocalKey())).toBeUndefined()
    }
  })

  test('a signal ends the wait, and leaves no listener and no timer behind', async () => {
    const { clock, wait } = busyWait()
    const controller = new AbortController()
    const delivery = wait.begin(controller.signal, undefined)
    const answer = track(delivery.forLocal(new LocalKey()))
    controller.abort()
    await settle()
    expect([answer.answer, clock.nextInMs]).toEqual([undefined, undefined])
    expect(await delivery.forLocal(new LocalKey())).toBeUndefined()
  })
})

describe('the place where a delivery waits', () => {
  test('without room it does not wait at all', async () => {
    const { clock, wait } = busyWait()
    const place = {
      enter: () => false,
      leave: () => expect.unreachable(),
      lineUp: () => expect.unreachable(),
    }
    expect(await wait.begin(undefined, place).forLocal(new LocalKey())).toBeUndefined()
    expect(await wait.begin(undefined, place).forLease(1000)).toBe(false)
    expect(clock.nextInMs).toBeUndefined()
  })

  test('is entered before and left after each wait, which goes on once it is left', async () => {
    const { clock, wait } = busyWait()
    const left = Promise.withResolvers<void>()
    const steps: string[] = []
    const place = {
      enter: () => steps.push('enter') > 0,
      lineUp: () => expect.unreachable(),
      leave: () => {
        steps.push('leave')
        return left.promise
      },
    }
    const answer = track(wait.begin(undefined, place).forLease(1000))
    expect(steps).toEqual(['enter'])
    await elapse(clock, 1000)
    expect([answer.answer, steps]).toEqual(['waits', ['enter', 'leave']])
    left.resolve()
    await settle()
    expect(answer.answer).toBe(true)
  })
})
