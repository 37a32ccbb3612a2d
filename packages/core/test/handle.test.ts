import { describe, expect, test } from 'vitest'

import { OncemqError, PermanentError } from '../src/index.ts'
import type { Deduplicator, HandlerContext } from '../src/index.ts'
import type { Forgive } from '../src/delivery/outcome.ts'
import { elapse, settle } from './elapse.ts'
import { setUp } from './set-up.ts'

const LEASE_MS = 6000

/** Values each of which throws when it is looked at. */
function unreadable(): unknown[] {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  const message = {
    get(): never {
      throw new Error('no message')
    },
  }
  const symbol = Object.assign(new Error('no'), { message: Symbol('no') })
  return [proxy, Object.defineProperty(new Error('no'), 'message', message), symbol]
}

function throws(error: unknown) {
  return () => {
    throw error
  }
}

describe('a handler', () => {
  test('is told the key, the epoch, which start it is, and has a signal', async () => {
    const { dedup } = await setUp()
    let context: HandlerContext | undefined
    await dedup.process({ key: 'a' }, throws(new Error('no')))
    await dedup.process({ key: 'a' }, (given) => void (context = given))
    expect(context).toMatchObject({ key: 'a', epoch: 2, attempt: 2, tx: undefined })
    expect(context?.signal.aborted).toBe(false)
    expect({ ...context }.signal).toBe(context?.signal)
  })

  test('may copy its context, inherit from it or hide it behind a proxy', async () => {
    const { dedup } = await setUp()
    const contexts: HandlerContext[] = []
    await dedup.process({ key: 'a' }, (given) => void contexts.push(given))
    const [context = expect.fail()] = contexts
    const { signal } = context
    const inherited = Object.create(context) as HandlerContext
    expect([{ ...context }, inherited, new Proxy(context, {})].map((each) => each.signal)).toEqual([
      signal,
      signal,
      signal,
    ])
    const childId: unknown = expect.any(Function)
    expect(context).toEqual({ key: 'a', epoch: 1, attempt: 1, signal, tx: undefined, childId })
  })

  test('that answers bytes gives them to duplicates, from memory and from the store', async () => {
    const all = await setUp()
    const other = await setUp({ beside: all })
    const receipt = Buffer.from('receipt')
    const first = await all.dedup.process({ key: 'a' }, async () => receipt)
    expect(first).toMatchObject({ status: 'completed', result: receipt, protected: true })
    for (const { dedup } of [all, other]) {
      const outcome = await dedup.process({ key: 'a' }, throws(new Error('ran')))
      expect(Buffer.from(('result' in outcome && outcome.result) || []).toString()).toBe('receipt')
    }
  })

  test.each([
    ['throws', throws(new Error('no'))],
    ['rejects', () => Promise.reject(new Error('no'))],
    ['throws nothing', throws(undefined)],
    ['throws a string', throws('no')],
  ])('that %s gives the key back, and its error is told', async (_, handler) => {
    const { dedup, told, store } = await setUp()
    const outcome = await dedup.process({ key: 'a' }, handler)
    expect(outcome).toMatchObject({ status: 'failed', final: false, attempt: 1 })
    expect(told[1]).toMatchObject({ name: 'failed', key: 'a', attempt: 1, final: false })
    expect(store.updates('release')).toHaveLength(1)
  })

  test.each([undefined, 'a'])('may throw what cannot be looked at: key %s', async (key) => {
    const { dedup } = await setUp()
    for (const thrown of unreadable()) {
      const outcome = await dedup.process({ key }, throws(thrown))
      expect(outcome).toMatchObject({
        status: 'failed',
        final: false,
        error: new Error('what was thrown cannot be read'),
      })
    }
  })

  test('that outlives its lease without the store hears of it', async () => {
    const { clock, dedup, store } = await setUp({ leaseMs: LEASE_MS })
    let aborted = false
    void dedup.process({ key: 'a' }, ({ signal }) => {
      signal.addEventListener('abort', () => (aborted = true))
      return new Promise(() => {})
    })
    await settle()
    store.around = () => new Promise(() => {})
    await elapse(clock, LEASE_MS)
    expect(aborted).toBe(true)
  })

  test('that fails after another worker took over is lost, also at its last attempt', async () => {
    const all = await setUp({ leaseMs: LEASE_MS, attemptsMax: 1 })
    const other = await setUp({ beside: all, leaseMs: LEASE_MS })
    const fail = Promise.withResolvers<void>()
    const first = all.dedup.process({ key: 'a' }, () => fail.promise)
    await settle()
    all.store.around = (call, apply) =>
      call.batch.some((entry) => 'op' in entry && entry.op === 'renew') ? new Promise(() => {}) : apply()
    await elapse(all.clock, LEASE_MS)
    const second = other.dedup.process({ key: 'a' }, () => new Promise(() => {}))
    await settle()
    fail.reject(new PermanentError('no'))
    await settle()
    expect(await first).toEqual({ status: 'lost' })
    expect(all.told).toContainEqual(expect.objectContaining({ name: 'failed', final: false }))
    void second
  })
})

/** Delivered again before it is durably dead-lettered, a message is rejected without a start. */
async function rejectedTwice(dedup: Deduplicator, attempt: number): Promise<Forgive | undefined> {
  let forgive: Forgive | undefined
  for (let count = 0; count < 2; count += 1) {
    const outcome = await dedup.process({ key: 'a' }, () => expect.unreachable())
    expect(outcome).toMatchObject({
      status: 'rejected',
      reason: 'attempts',
      attempt,
      error: { code: 'ONCEMQ_ATTEMPTS_EXHAUSTED' },
    })
    if (outcome.status === 'rejected') forgive = outcome.forgive
  }
  return forgive
}

describe('attempts', () => {
  test('are counted by the record; after the last failure nothing starts until it is forgiven', async () => {
    const { dedup } = await setUp({ attemptsMax: 3 })
    const outcomes = []
    for (let count = 0; count < 3; count += 1) {
      outcomes.push(await dedup.process({ key: 'a' }, throws(new Error('no'))))
    }
    expect(outcomes).toMatchObject([
      { attempt: 1, final: false },
      { attempt: 2, final: false },
      { attempt: 3, final: true, reason: 'attempts' },
    ])
    const forgive = await rejectedTwice(dedup, 3)
    expect(await forgive?.()).toBe(true)
    expect(await dedup.process({ key: 'a' }, throws(new Error('no')))).toMatchObject({
      attempt: 1,
      final: false,
    })
  })

  test('a permanent error is final at once; forgiven, a replay runs as the first attempt', async () => {
    const { dedup } = await setUp()
    const error = new PermanentError('the account is closed')
    const outcome = await dedup.process({ key: 'a' }, throws(error))
    expect(outcome).toMatchObject({ status: 'failed', final: true, reason: 'permanent', attempt: 1, error })
    await rejectedTwice(dedup, 1)
    expect('forgive' in outcome && (await outcome.forgive?.())).toBe(true)
    await dedup.process({ key: 'a' }, ({ attempt }) => expect(attempt).toBe(1))
    expect((await dedup.process({ key: 'a' }, throws(error))).status).toBe('duplicate')
  })

  test("an error of oncemq that the handler met elsewhere is the handler's own", async () => {
    const { dedup } = await setUp({ attemptsMax: 2 })
    const nested = throws(new OncemqError('ONCEMQ_STORE_UNAVAILABLE', 'another store is down'))
    expect(await dedup.process({ key: 'a' }, nested)).toMatchObject({
      status: 'failed',
      attempt: 1,
      final: false,
    })
    expect(await dedup.process({ key: 'a' }, nested)).toMatchObject({
      status: 'failed',
      attempt: 2,
      final: true,
    })
  })
})

describe('without protection', () => {
  test('the handler runs with no key, epoch 0 and a signal of its own', async () => {
    const { dedup } = await setUp()
    const signals = new Set<AbortSignal>()
    for (let count = 0; count < 2; count += 1) {
      const outcome = await dedup.process({ key: undefined }, (context) => {
        signals.add(context.signal)
        expect(context).toMatchObject({ key: undefined, epoch: 0, attempt: 1 })
        return Buffer.from('x')
      })
      expect(outcome).toMatchObject({ status: 'completed', protected: false })
    }
    expect(signals.size).toBe(2)
  })

  test.each([
    [new Error('no'), { status: 'failed', final: false, attempt: 1 }],
    [new PermanentError('no'), { status: 'failed', final: true, reason: 'permanent' }],
  ])('%s is told as with it', async (error, expected) => {
    const { dedup, names } = await setUp()
    expect(await dedup.process({ key: undefined }, throws(error))).toMatchObject(expected)
    expect(names()).toEqual(['unprotected', 'failed'])
  })
})
