import { describe, expect, test } from 'vitest'
import { endWithin, untilAborted, within } from '../../src/store/index.ts'
import { VirtualClock } from '../../src/testing/index.ts'
import { elapse } from '../elapse.ts'

const TIMEOUT_MS = 100

function bounded() {
  const clock = new VirtualClock()
  const late: unknown[] = []
  const answer = Promise.withResolvers<string>()
  const running = within(() => answer.promise, {
    clock,
    timeoutMs: TIMEOUT_MS,
    timeoutError: () => new Error('too late'),
    late: (value) => void late.push(value),
  })
  return { clock, late, answer, running }
}

describe('a timed call', () => {
  test('answers, and leaves no timer behind', async () => {
    const { clock, late, answer, running } = bounded()
    answer.resolve('in time')
    expect(await running).toBe('in time')
    await elapse(clock, 2 * TIMEOUT_MS)
    expect(late).toEqual([])
  })

  test('fails at its bound, and hands on what comes later', async () => {
    const { clock, late, answer, running } = bounded()
    await Promise.all([expect(running).rejects.toThrow('too late'), elapse(clock, TIMEOUT_MS)])
    answer.resolve('a connection')
    await elapse(clock, 1)
    expect(late).toEqual(['a connection'])
  })

  test('says nothing of a failure that comes later', async () => {
    const { clock, late, answer, running } = bounded()
    await Promise.all([expect(running).rejects.toThrow('too late'), elapse(clock, TIMEOUT_MS)])
    answer.reject(new Error('ended'))
    await elapse(clock, 1)
    expect(late).toEqual([])
  })

  test('throws what the call throws, at once or later', async () => {
    const { answer, running } = bounded()
    answer.reject(new Error('refused'))
    await expect(running).rejects.toThrow('refused')
    const clock = new VirtualClock()
    const call = (): Promise<string> => {
      throw new Error('at once')
    }
    const bound = { clock, timeoutMs: TIMEOUT_MS, timeoutError: () => new Error('too late') }
    await expect(within(call, bound)).rejects.toThrow('at once')
  })
})

describe('a bounded end', () => {
  test('resolves when the end does, fails, or takes too long', async () => {
    const clock = new VirtualClock()
    const bound = { clock, timeoutMs: TIMEOUT_MS }
    await endWithin(async () => undefined, bound)
    await endWithin(() => Promise.reject(new Error('broken')), bound)
    let isOver = false
    const ending = endWithin(() => new Promise(() => {}), bound).then(() => (isOver = true))
    await elapse(clock, TIMEOUT_MS - 1)
    expect(isOver).toBe(false)
    await elapse(clock, 1)
    await ending
  })
})

describe('work until a signal aborts', () => {
  test('answers or throws as the work does', async () => {
    const { signal } = new AbortController()
    expect(await untilAborted(async () => 'done', signal)).toBe('done')
    expect(await untilAborted(async () => 'done')).toBe('done')
    const failing = (): Promise<never> => Promise.reject(new Error('failed'))
    await expect(untilAborted(failing, signal)).rejects.toThrow('failed')
  })

  test('rejects with the reason at once, and lets a late failure pass', async () => {
    const controller = new AbortController()
    const work = Promise.withResolvers<string>()
    const running = untilAborted(() => work.promise, controller.signal)
    const reason = new Error('handlerTimeoutMs')
    controller.abort(reason)
    await expect(running).rejects.toBe(reason)
    work.reject(new Error('late'))
    await new Promise(setImmediate)
  })

  test('does not begin when it has aborted already', async () => {
    let begun = false
    const work = async (): Promise<boolean> => (begun = true)
    await expect(untilAborted(work, AbortSignal.abort(new Error('before')))).rejects.toThrow('before')
    expect(begun).toBe(false)
  })
})
