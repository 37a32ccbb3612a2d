import { describe, expect, test } from 'vitest'
import { DeliveryLoop } from '../src/broker/index.ts'
import type { Delivery, HandlerContext } from '../src/index.ts'
import { createDeduplicator, MemoryStore, PermanentError, watermark } from '../src/index.ts'
import { StoreError } from '../src/store/index.ts'
import { VirtualClock } from '../src/testing/index.ts'
import { LogLedger } from './log-ledger.ts'
import type { Ledger } from './transactional-store.ts'
import { LedgerStore } from './transactional-store.ts'

const writes = ({ tx }: HandlerContext<Ledger>): void => void tx.words.push('sale')
const fails = (): void => {
  throw new Error('failed')
}

async function setUp({ record = false, attemptsMax = 2, store = new LogLedger(new VirtualClock()) } = {}) {
  const dedup = createDeduplicator<Ledger>({
    store,
    consumerGroup: 'billing',
    strategy: watermark({ record }),
    attemptsMax,
  })
  await dedup.open()
  store.calls.length = 0
  store.begun = 0
  const log = await dedup.takeLog(['orders', '0'])
  const at = (offset: bigint, more: Partial<Delivery> = {}): Delivery => {
    const startsBefore = log.startsBefore(offset)
    return { key: `key ${offset}`, position: { log, offset }, startsBefore, ...more }
  }
  return { store, dedup, log, at }
}

/** A log that is being passed to `next`, and a message at 4 that starts meanwhile. */
async function passedAt(next: bigint) {
  const scene = await setUp()
  const { store, dedup, log, at } = scene
  const gate = Promise.withResolvers<void>()
  store.beforeUpdate = () => gate.promise
  const passing = log.pass(next)
  const running = dedup.process(at(4n), writes)
  await new Promise(setImmediate)
  return { ...scene, passing, running, passOn: () => gate.resolve() }
}

/** As a process leaves its log that ended by itself. */
function heldLedger(next: bigint): LogLedger {
  const store = new LogLedger(new VirtualClock())
  store.row = { epoch: 7, next, isHeld: true }
  return store
}

describe('the row', () => {
  test('moves with what the handler wrote, over gaps, and nothing else is asked of the store', async () => {
    const { store, dedup, at } = await setUp()
    for (const offset of [4n, 7n]) {
      expect(await dedup.process(at(offset), writes)).toMatchObject({ status: 'completed', protected: true })
    }
    expect(store.row.next).toBe(8n)
    expect([store.calls, store.logUpdates, store.committed.length]).toEqual([[], [], 2])
    expect(dedup.counts().completed).toBe(2)
  })

  test('tells a duplicate without the store', async () => {
    const { store, dedup, at } = await setUp()
    const known: unknown[] = []
    dedup.on('duplicate', (event) => known.push(event))
    await dedup.process(at(4n), writes)
    for (const offset of [0n, 4n]) {
      expect(await dedup.process(at(offset), writes)).toEqual({ status: 'duplicate', result: undefined })
    }
    expect([store.begun, dedup.counts().duplicate]).toEqual([1, 2])
    expect(known).toEqual(['key 0', 'key 4'].map((key) => ({ key, source: 'position' })))
  })

  test('is not moved by whoever has lost it: what was written is rolled back', async () => {
    const { store, dedup, log, at } = await setUp()
    store.row.epoch += 1
    expect(await dedup.process(at(0n), writes)).toEqual({ status: 'lost' })
    expect([store.committed, store.row.next, log.signal.aborted]).toEqual([[], undefined, true])
    expect(await dedup.process(at(0n), writes)).toEqual({ status: 'lost' })
    expect(store.begun).toBe(1)
  })

  test('is not moved from where it was set back: the records in between would be missing', async () => {
    const { store, dedup, log, at } = await setUp()
    await dedup.process(at(0n), writes)
    await dedup.process(at(1n), writes)
    store.row.next = 1n
    expect(await dedup.process(at(2n), writes)).toEqual({ status: 'lost' })
    expect([store.row.next, log.signal.aborted]).toEqual([1n, true])
  })

  test('passes a message that was put aside, once it was, as long as the log is ours', async () => {
    const { store, dedup, at } = await setUp()
    const never = (): void => {
      throw new PermanentError('never')
    }
    const outcome = await dedup.process(at(4n), never)
    expect(outcome).toMatchObject({ status: 'failed', final: true })
    expect(store.row.next).toBe(undefined)
    expect(await ('forgive' in outcome && outcome.forgive?.())).toBe(true)
    expect(store.row.next).toBe(5n)
    const late = await dedup.process(at(5n), never)
    store.row.epoch += 1
    expect(await ('forgive' in late && late.forgive?.())).toBe(false)
  })

  test('is passed to a new offset when nothing runs, and waited for by what starts meanwhile', async () => {
    const { store, dedup, log, at, passing, running, passOn } = await passedAt(4n)
    expect(store.begun).toBe(0)
    passOn()
    expect(await passing).toBe(true)
    expect(await running).toMatchObject({ status: 'completed' })
    expect(store.row.next).toBe(5n)
    await dedup.process(at(7n), async ({ tx }) => {
      expect(await log.pass(7n)).toBe(true)
      tx.words.push('sale')
    })
    expect([store.row.next, store.logUpdates]).toEqual([8n, ['advance']])
  })

  test('is passed to one offset after the other, and never back', async () => {
    const { store, log } = await setUp()
    expect(await Promise.all([log.pass(4n), log.pass(6n)])).toEqual([true, true])
    expect(await log.pass(5n)).toBe(true)
    expect([store.row.next, store.logUpdates, log.signal.aborted]).toEqual([
      6n,
      ['advance', 'advance'],
      false,
    ])
  })

  test('is waited for by a message that it passes meanwhile', async () => {
    const { store, dedup, passing, running, passOn } = await passedAt(5n)
    passOn()
    expect([await passing, await running]).toEqual([true, { status: 'duplicate', result: undefined }])
    expect([store.committed, dedup.counts().duplicate]).toEqual([[], 1])
  })

  test('a store that does not answer at the commit leaves the message where it is', async () => {
    const { store, dedup, at } = await setUp()
    const { commit } = store
    store.commit = () => Promise.reject(new StoreError('ONCEMQ_COMMIT_UNKNOWN', 'no answer'))
    expect(await dedup.process(at(0n), writes)).toMatchObject({ status: 'store-down' })
    store.commit = commit
    expect(await dedup.process(at(0n, { holdMs: 60_000 }), writes)).toMatchObject({ status: 'completed' })
    expect(store.row.next).toBe(1n)
  })
})

describe('starts', () => {
  test('are not counted in a log that was released, and failures of the process are its own', async () => {
    const { store, dedup, at } = await setUp()
    const outcome = await dedup.process(at(0n), fails)
    expect(outcome).toMatchObject({ status: 'failed', final: false, attempt: 1 })
    const stopping = new AbortController()
    await dedup.process(at(0n, { signal: stopping.signal }), () => {
      stopping.abort()
      throw new Error('told to stop')
    })
    expect([store.logUpdates, dedup.counts().completed]).toEqual([[], 0])
  })

  test('that nobody counted are those of the first record that is left, and of no other', async () => {
    const { log } = await setUp({ store: heldLedger(3n) })
    expect([2n, 3n, 4n].map((offset) => log.startsBefore(offset))).toEqual([0, 1, 0])
  })

  test('are counted in a log that was held, until one record is done', async () => {
    const { store, dedup, at } = await setUp({ store: heldLedger(3n) })
    const seen: number[] = []
    const handler = (context: HandlerContext<Ledger>): void => {
      seen.push(context.attempt)
      writes(context)
    }
    for (const offset of [3n, 4n]) await dedup.process(at(offset), handler)
    // One start, the one that nobody counted, may have been the end of the process.
    expect(seen).toEqual([2, 1])
    expect([store.logUpdates, store.started, store.starts]).toEqual([['start'], 3n, 2])
  })

  test('end a message that ends its processes, after its attempts and one alone', async () => {
    const store = heldLedger(3n)
    const attempts: number[] = []
    for (let count = 0; count < 2; count += 1) {
      const { dedup, at } = await setUp({ store })
      // It never comes back, as in a process that was ended.
      void dedup.process(at(3n), ({ attempt }) => {
        attempts.push(attempt)
        return new Promise(() => {})
      })
      await expect.poll(() => attempts.length).toBe(count + 1)
    }
    expect(attempts).toEqual([2, 3])
    const { dedup, at } = await setUp({ store })
    const outcome = await dedup.process(at(3n), writes)
    expect(outcome).toMatchObject({ status: 'rejected', reason: 'attempts', attempt: 3 })
    expect(await ('forgive' in outcome && outcome.forgive?.())).toBe(true)
    expect([store.row.next, store.committed]).toEqual([4n, []])
  })

  test.each(['lost', 'stopped'] as const)('are taken back from a handler that is %s', async (how) => {
    const { store, dedup, at } = await setUp({ store: heldLedger(3n) })
    const stopping = new AbortController()
    await dedup.process(at(3n, { signal: stopping.signal }), () => {
      if (how === 'lost') store.row.epoch += 1
      else stopping.abort()
      if (how === 'stopped') throw new Error('told to stop')
    })
    expect([store.logUpdates, store.starts]).toEqual([['start', 'unstart'], 1])
  })

  test('of a handler that fails stay counted', async () => {
    const { store, dedup, at } = await setUp({ store: heldLedger(3n) })
    await dedup.process(at(3n), fails)
    expect([store.logUpdates, store.starts]).toEqual([['start'], 2])
  })

  test.each([
    ['ONCEMQ_STORE_UNAVAILABLE', 'store-down'],
    ['ONCEMQ_STORE_REFUSED', 'store-refused'],
    ['ONCEMQ_CLOSED', 'closed'],
  ] as const)('that cannot be counted for %s: %s, and nothing runs', async (code, status) => {
    const { store, dedup, at } = await setUp({ store: heldLedger(3n) })
    store.beforeUpdate = () => Promise.reject(new StoreError(code as never, 'no'))
    expect(await dedup.process(at(3n), writes)).toMatchObject({ status })
    expect(store.begun).toBe(0)
  })

  test('that were counted go on where the log was released meanwhile, until the record is done', async () => {
    const store = heldLedger(3n)
    const attempts: number[] = []
    for (const offset of [3n, 3n, 4n]) {
      const { dedup, log, at } = await setUp({ store, attemptsMax: 4 })
      await dedup.process(at(offset), ({ attempt }) => {
        if (attempts.push(attempt) === 1) throw new Error('failed')
      })
      await log.release()
    }
    expect(attempts).toEqual([2, 3, 1])
    expect(store.logUpdates).toEqual(['start', 'release', 'start', 'release', 'release'])
  })

  test('of a record are counted by the record', async () => {
    const { store, dedup, at } = await setUp({ store: heldLedger(3n), record: true })
    let started = 0
    await dedup.process(at(3n), ({ attempt }) => void (started = attempt))
    expect([started, store.logUpdates, store.row.next]).toEqual([1, [], 4n])
  })

  test('a log that is released twice is released once, and one that was lost never', async () => {
    const { store, log } = await setUp()
    await Promise.all([log.release(), log.release()])
    expect([store.logUpdates, store.row.isHeld]).toEqual([['release'], false])
    const other = await setUp()
    other.store.row.epoch += 1
    await other.dedup.process(other.at(0n), writes)
    await other.log.release()
    expect(other.store.logUpdates).toEqual([])
  })
})

describe('with record', () => {
  test('knows by its key what stands in the log twice', async () => {
    const { store, dedup, at } = await setUp({ record: true })
    expect(await dedup.process(at(0n, { key: 'a' }), writes)).toMatchObject({ status: 'completed' })
    expect(await dedup.process(at(1n, { key: 'a' }), writes)).toMatchObject({ status: 'duplicate' })
    expect(await dedup.process(at(2n, { key: 'b' }), writes)).toMatchObject({ status: 'completed' })
    expect([store.committed.length, store.row.next, dedup.counts().completed]).toEqual([2, 3n, 2])
  })

  test('gives the key back where the log is lost before the start', async () => {
    const { store, dedup, log, at } = await setUp({ record: true })
    store.row.epoch += 1
    await log.pass(1n)
    expect(await dedup.process(at(1n, { key: 'a' }), writes)).toEqual({ status: 'lost' })
    expect(await dedup.inspect('a')).toMatchObject({ state: 'free', attempts: 0 })
  })
})

describe('is refused', () => {
  test('a message without a position, which is kept', async () => {
    const { dedup } = await setUp()
    expect(await dedup.process({ key: 'a' }, writes)).toMatchObject({
      status: 'store-refused',
      error: { code: 'ONCEMQ_CONSUMER_UNSAFE' },
    })
  })

  test('an adapter whose messages have none, and run(), at start', async () => {
    const { dedup } = await setUp()
    const options = { dedup: dedup as never, key: () => 'a', policy: {} as never }
    const loop = () => new DeliveryLoop({ ...options, window: 1, concurrency: 1, holdMs: 1 })
    expect(loop).toThrow(/needs each message's position in a log/)
    await expect(dedup.run('a', async () => 1)).rejects.toMatchObject({ code: 'ONCEMQ_OPTION_INVALID' })
  })

  test('a store without transactions, one without logs, and options that are not there', () => {
    const create = (store: unknown) =>
      createDeduplicator<Ledger>({ store: store as LogLedger, consumerGroup: 'g', strategy: watermark() })
    expect(() => create(new MemoryStore())).toThrow(/expected a store with transactions for 'watermark'/)
    expect(() => create(new LedgerStore(new VirtualClock()))).toThrow(/without takeLog\(\)/)
    expect(() => watermark({ records: true } as never)).toThrow(/received 'records'/)
    expect(() => watermark({ record: 1 } as never)).toThrow(/record: expected one of true, false/)
  })

  test('a table of logs that is missing, at start', async () => {
    const store = new LogLedger(new VirtualClock())
    store.updateLog = () => Promise.reject(new StoreError('ONCEMQ_STORE_CORRUPT', 'no such table'))
    await expect(setUp({ store })).rejects.toMatchObject({ code: 'ONCEMQ_STORE_CORRUPT' })
  })
})
