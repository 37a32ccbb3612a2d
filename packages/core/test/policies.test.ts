import { describe, expect, test } from 'vitest'

import { isOncemqError } from '../src/index.ts'
import { elapse } from './elapse.ts'
import { setUp } from './set-up.ts'

const body = (text: string): Uint8Array => Buffer.from(text)

/** Counts how often its handler ran. */
function counter() {
  const counted = { runs: 0, handler: () => void (counted.runs += 1) }
  return counted
}

describe('a message without a key', () => {
  test('is processed without protection, counted and told', async () => {
    const { dedup, told, store } = await setUp()
    const { handler } = counter()
    expect(await dedup.process({ key: undefined }, handler)).toMatchObject({
      status: 'completed',
      protected: false,
    })
    expect(told).toEqual([{ name: 'unprotected', key: undefined, reason: 'missing-key' }])
    expect(dedup.counts().unprotected).toBe(1)
    expect(store.calls).toEqual([])
  })

  test('is rejected where that is asked for', async () => {
    const { dedup, told } = await setUp({ onMissingKey: 'reject' })
    const counted = counter()
    expect(await dedup.process({ key: undefined, body: body('x') }, counted.handler)).toMatchObject({
      status: 'rejected',
      reason: 'missing-key',
      error: { code: 'ONCEMQ_KEY_MISSING' },
    })
    expect([counted.runs, told]).toEqual([0, [{ name: 'rejected', key: undefined, reason: 'missing-key' }]])
  })

  test('is rejected where its payload is to be hashed and is not bytes', async () => {
    const { dedup } = await setUp({ onMissingKey: 'hash' })
    const counted = counter()
    const parsed = { amount: 100 } as unknown as Uint8Array
    expect(await dedup.process({ key: undefined, body: parsed }, counted.handler)).toMatchObject({
      status: 'rejected',
      reason: 'invalid-key',
      error: { code: 'ONCEMQ_KEY_INVALID' },
    })
    expect(counted.runs).toBe(0)
  })

  test('is known by its payload where that is asked for', async () => {
    const { dedup } = await setUp({ onMissingKey: 'hash' })
    const counted = counter()
    const deliver = (text: string) => dedup.process({ key: undefined, body: body(text) }, counted.handler)
    const statuses = [await deliver('x'), await deliver('x'), await deliver('x '), await deliver('')]
    expect(statuses.map(({ status }) => status)).toEqual(['completed', 'duplicate', 'completed', 'completed'])
    expect(counted.runs).toBe(3)
  })

  test('and without a payload is processed without protection all the same', async () => {
    const { dedup } = await setUp({ onMissingKey: 'hash' })
    expect(await dedup.process({ key: undefined }, () => {})).toMatchObject({ protected: false })
  })

  test('null counts as none, as some clients have it', async () => {
    const { dedup } = await setUp({ onMissingKey: 'reject' })
    const delivery = { key: null as unknown as undefined }
    expect(await dedup.process(delivery, () => {})).toMatchObject({ reason: 'missing-key' })
  })
})

describe('a key that cannot be one', () => {
  test.each([
    ['empty', ''],
    ['a number', 7],
    ['an object', { $gt: '' }],
    ['a buffer', Buffer.from('a')],
  ])('%s: rejected, never run, and never shown', async (_, key) => {
    const { dedup, told, store } = await setUp()
    const counted = counter()
    const outcome = await dedup.process({ key: key as string }, counted.handler)
    expect(outcome).toMatchObject({
      status: 'rejected',
      reason: 'invalid-key',
      error: { code: 'ONCEMQ_KEY_INVALID' },
    })
    expect([counted.runs, told, store.calls]).toEqual([
      0,
      [{ name: 'rejected', key: undefined, reason: 'invalid-key' }],
      [],
    ])
  })
})

describe('a key that comes again with another payload', () => {
  async function twice(
    onConflict: 'dead-letter' | 'process' | 'ack',
    options: { doneCacheMax?: number } = {},
  ) {
    const all = await setUp({ fingerprint: true, onConflict, ...options })
    const counted = counter()
    await all.dedup.process({ key: 'a', body: body('100') }, counted.handler)
    all.told.length = 0
    const outcome = await all.dedup.process({ key: 'a', body: body('200') }, counted.handler)
    return { ...all, counted, outcome }
  }

  test.each([
    ['memory', {}],
    ['the store', { doneCacheMax: 0 }],
  ])('is dead-lettered by default, as told by %s', async (_, options) => {
    const { outcome, counted, names } = await twice('dead-letter', options)
    expect(outcome).toMatchObject({
      status: 'rejected',
      reason: 'conflict',
      error: { code: 'ONCEMQ_CONFLICT' },
    })
    expect([counted.runs, names()]).toEqual([1, ['conflict']])
  })

  test('is processed without protection where that is asked for', async () => {
    const { outcome, counted, names } = await twice('process')
    expect(outcome).toMatchObject({ status: 'completed', protected: false })
    expect([counted.runs, names()]).toEqual([2, ['conflict', 'unprotected']])
  })

  test('is acked where that is asked for, and is told as a conflict, not as a duplicate', async () => {
    const { outcome, counted, names } = await twice('ack')
    expect(outcome).toMatchObject({ status: 'duplicate' })
    expect([counted.runs, names()]).toEqual([1, ['conflict']])
  })

  test('the same payload, and one that is not given, are duplicates', async () => {
    const { dedup, counted } = await twice('dead-letter')
    for (const delivery of [{ key: 'a', body: body('100') }, { key: 'a' }]) {
      expect((await dedup.process(delivery, counted.handler)).status).toBe('duplicate')
    }
  })

  test('is a duplicate where no fingerprint is kept', async () => {
    const { dedup } = await setUp()
    await dedup.process({ key: 'a', body: body('100') }, () => {})
    expect((await dedup.process({ key: 'a', body: body('200') }, () => {})).status).toBe('duplicate')
  })
})

describe('where keys are personal data', () => {
  test('the store gets no readable key', async () => {
    const { dedup, store } = await setUp({ storeReadableKey: false, fingerprint: true })
    await dedup.process({ key: 'jane@example.com', body: body('x') }, () => Buffer.from('receipt'))
    expect(JSON.stringify(store.calls)).not.toContain('jane')
  })

  test('by default it gets one for people, beside the hash', async () => {
    const { dedup, id } = await setUp()
    await dedup.process({ key: 'order-1' }, () => {})
    expect(await dedup.inspect('order-1')).toMatchObject({ state: 'done', label: 'billing/order-1' })
    expect(id('order-1')).not.toContain('order')
  })

  test('no error holds a key', async () => {
    const { clock, dedup, store } = await setUp({ attemptsMax: 1, outageHoldMs: 0, fingerprint: true })
    const key = 'jane@example.com'
    const errors: unknown[] = []
    const deliver = async (text: string, handler = (): void => {}): Promise<void> => {
      const outcome = await dedup.process({ key, body: body(text) }, handler)
      if ('error' in outcome) errors.push(outcome.error)
    }
    await deliver('1')
    await deliver('2')
    store.around = () => new Promise(() => {})
    const inspected = dedup.inspect(key).catch((error: unknown) => errors.push(error))
    await elapse(clock, 5000)
    await inspected
    expect(errors.length).toBe(2)
    for (const error of errors) {
      expect(isOncemqError(error)).toBe(true)
      expect(`${String(error)} ${JSON.stringify(error)}`).not.toContain('jane')
    }
  })
})

test('a record is done for its retention, and not longer from memory', async () => {
  const { clock, dedup } = await setUp({ leaseMs: 1000, retentionMs: 2000, doneCacheMs: 60_000 })
  await dedup.process({ key: 'a' }, () => {})
  clock.advance(1999)
  expect((await dedup.process({ key: 'a' }, () => {})).status).toBe('duplicate')
  clock.advance(1)
  expect(
    (await dedup.process({ key: 'a' }, ({ epoch, attempt }) => expect([epoch, attempt]).toEqual([2, 1])))
      .status,
  ).toBe('completed')
})
