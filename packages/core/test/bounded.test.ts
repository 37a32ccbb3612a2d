import { describe, expect, test } from 'vitest'

import { elapse, settle } from './elapse.ts'
import { setUp } from './set-up.ts'

const LEASE_MS = 10_000

describe.each([
  ['with a record', 'a'],
  ['without a record', undefined],
])('the time of a handler %s', (_, key) => {
  test('has no bound by default', async () => {
    const { clock, dedup } = await setUp({ leaseMs: LEASE_MS })
    const work = Promise.withResolvers<void>()
    const outcome = dedup.process({ key }, () => work.promise)
    await elapse(clock, 100 * LEASE_MS)
    work.resolve()
    expect((await outcome).status).toBe('completed')
  })

  test('ends at its bound: told to stop by the error of the outcome, which counts', async () => {
    const { clock, dedup, told } = await setUp({ leaseMs: LEASE_MS, handlerTimeoutMs: 3 * LEASE_MS })
    let signal: AbortSignal | undefined
    const outcome = dedup.process({ key }, (context) => {
      signal = context.signal
      return new Promise(() => {})
    })
    await elapse(clock, 3 * LEASE_MS - 1)
    expect(signal?.aborted).toBe(false)
    await elapse(clock, 1)
    const failure = await outcome
    expect(failure).toMatchObject({
      status: 'failed',
      final: false,
      attempt: 1,
      error: { code: 'ONCEMQ_HANDLER_TIMEOUT' },
    })
    expect(signal?.reason).toBe('error' in failure && failure.error)
    expect(told.at(-1)).toMatchObject({ name: 'failed', key, attempt: 1, final: false })
  })

  test('that is kept leaves no timer behind, however the handler ends', async () => {
    const { clock, dedup } = await setUp({ leaseMs: LEASE_MS, handlerTimeoutMs: 3 * LEASE_MS })
    const ends = [() => {}, () => Promise.reject(new Error('no'))]
    for (const end of ends) await dedup.process({ key }, end)
    const throwing = (): never => {
      throw new Error('no')
    }
    await dedup.process({ key: key && 'b' }, throwing)
    await settle()
    // The look of the lease keeper at nothing, at most.
    expect(clock.nextInMs ?? 0).toBeLessThan(LEASE_MS)
    await elapse(clock, LEASE_MS)
    expect(clock.nextInMs).toBeUndefined()
  })
})
