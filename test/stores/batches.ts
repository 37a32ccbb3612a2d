import { createDeduplicator, transactional } from '@oncemq/core'
import type { Deduplicator, Delivery, HandlerContext, ProcessOutcome, TransactionalStore } from '@oncemq/core'
import { deferred } from '@oncemq/core/store'
import type { BatchingStore, NextMember } from '@oncemq/core/store'
import { expect, onTestFinished, test, vi } from 'vitest'
import { newHex } from './requests.ts'

/** A store of a test's own, and what its handlers do in its database. */
export interface BatchScene<Tx> {
  readonly store: TransactionalStore<Tx>
  /** Writes the effect of this name, and fails where it is there. */
  write(tx: Tx, name: string): Promise<unknown>
  commit(tx: Tx): Promise<unknown>
  /** The names of all effects that are committed. */
  effects(): Promise<string[]>
  /** Asks what takes longer than any test. */
  stall?(tx: Tx): Promise<unknown>
  /** Writes what the commit will refuse. */
  spoil?(tx: Tx): Promise<unknown>
  /** Cuts the connections to the server at its next answer. */
  cut?(): void
  /** Cuts them when the next commit has been sent, before its answer. */
  cutAtCommit?(): void
  close(): Promise<void>
}

type Handler<Tx> = (context: HandlerContext<Tx>) => Promise<unknown>

const KEYS = ['a', 'b', 'c', 'd', 'e', 'f']
const TIMES_MAX = 20

/** Messages whose first deliveries start at once, each delivered until it is settled for good. */
class Arrivals<Tx> {
  readonly scene: BatchScene<Tx>
  /** Of each key the attempt of each run of its handler. */
  readonly attempts = new Map<string, number[]>()
  readonly told: string[] = []
  readonly #dedup: Deduplicator<Tx>
  readonly #batches: () => number

  constructor(scene: BatchScene<Tx>, options: { handlerTimeoutMs?: number; leaseMs?: number }) {
    const { store } = scene
    this.scene = scene
    const strategy = transactional({ batch: { max: 64 } })
    const given = { store, consumerGroup: newHex(), strategy, attemptsMax: 2, storeTimeoutMs: 1500 }
    this.#dedup = createDeduplicator({ ...given, ...options }) as unknown as Deduplicator<Tx>
    for (const event of ['storeError', 'lost'] as const) this.#dedup.on(event, () => this.told.push(event))
    // One after the other, so that the first one takes all.
    const batching = store as BatchingStore<Tx>
    const transactions = batching.transactions.bind(batching)
    let previous = Promise.resolve()
    const after = async (before: Promise<void>, next: NextMember<Tx>): Promise<void> => {
      await before
      return transactions(next)
    }
    const batches = vi.spyOn(batching, 'transactions').mockImplementation((next) => {
      previous = after(previous, next)
      return previous
    })
    this.#batches = () => batches.mock.calls.length
  }

  /** Handles all keys, but some by handlers of their own. Answers how the deliveries of each have ended. */
  async handle(own: Readonly<Record<string, Handler<Tx>>>, keys = KEYS): Promise<Record<string, string[]>> {
    const write: Handler<Tx> = ({ tx, key }) => this.scene.write(tx, key as string)
    const [granted, all] = [new Set<string>(), deferred<void>()]
    const beforeStart = (key: string) => {
      if (granted.add(key).size === keys.length) all.resolve()
      return all.promise
    }
    const statuses = keys.map((key) =>
      this.#settled({ key, beforeStart: () => beforeStart(key) }, own[key] ?? write),
    )
    const ended = Object.fromEntries(await Promise.all(statuses))
    if (this.#batches() === 0) throw new Error('expected a batch, there was none')
    return ended
  }

  async #settled(
    delivery: Delivery & { readonly key: string },
    handler: Handler<Tx>,
  ): Promise<readonly [string, string[]]> {
    const { key } = delivery
    const statuses: string[] = []
    const counted = async (context: HandlerContext<Tx>): Promise<undefined> => {
      this.attempts.set(key, [...(this.attempts.get(key) ?? []), context.attempt])
      await handler(context)
    }
    for (let time = 0; time < TIMES_MAX; time += 1) {
      const outcome = await this.#dedup.process(delivery, counted)
      statuses.push(nameOf(outcome))
      if (/completed|duplicate|rejected|ended|final/.test(nameOf(outcome))) break
    }
    return [key, statuses]
  }

  close(): Promise<void> {
    return this.#dedup.close()
  }
}

function nameOf(outcome: ProcessOutcome): string {
  if (outcome.status !== 'failed' || !outcome.final) return outcome.status
  return outcome.reason === 'transaction-ended' ? 'ended' : 'final'
}

const all = <Value>(value: Value, keys = KEYS): Record<string, Value> =>
  Object.fromEntries(keys.map((key) => [key, value]))

/** What transactions of several messages keep, whatever one of them does, or the server. */
export function testBatches<Tx>(open: () => Promise<BatchScene<Tx>>): void {
  const arrive: Arrive<Tx> = async (options = {}) => {
    const scene = await open()
    const arrivals = new Arrivals(scene, options)
    onTestFinished(() => scene.close())
    onTestFinished(() => arrivals.close())
    return { scene, arrivals }
  }
  testFailures(arrive)
  testOwnCommits(arrive)
  testHangs(arrive)
  testCuts(arrive)
  testLongBatch(arrive)
}

type Arrive<Tx> = (options?: {
  handlerTimeoutMs?: number
  leaseMs?: number
}) => Promise<{ readonly scene: BatchScene<Tx>; readonly arrivals: Arrivals<Tx> }>

function testFailures<Tx>(arrive: Arrive<Tx>): void {
  test('of two messages of a batch with one key of the business one fails, and no other', async () => {
    const { scene, arrivals } = await arrive()
    const { b, c, ...others } = await arrivals.handle({ c: ({ tx }) => scene.write(tx, 'b') })
    expect(others).toEqual(all(['completed'], ['a', 'd', 'e', 'f']))
    expect([b, c].filter((statuses) => statuses?.at(-1) === 'completed')).toHaveLength(1)
    expect([b, c].filter((statuses) => statuses?.at(-1) === 'final')).toHaveLength(1)
    expect(await scene.effects()).toEqual(['a', 'b', 'd', 'e', 'f'])
    for (const key of Object.keys(others)) expect(new Set(arrivals.attempts.get(key))).toEqual(new Set([1]))
  })

  test('what the commit refuses counts for its own message alone', async (context) => {
    const { scene, arrivals } = await arrive()
    if (scene.spoil === undefined) return context.skip('nothing is checked at the commit')
    const ended = await arrivals.handle({ c: ({ tx }) => scene.spoil?.(tx) as Promise<unknown> })
    expect(ended).toEqual({ ...all(['completed']), c: ['failed', 'final'] })
    expect(await scene.effects()).toEqual(KEYS.filter((key) => key !== 'c'))
    expect(new Set(arrivals.attempts.get('d'))).toEqual(new Set([1]))
  })
}

function testOwnCommits<Tx>(arrive: Arrive<Tx>): void {
  test.each(['returns', 'throws', 'hangs', 'stalls'])(
    'a handler that commits by itself and %s has one effect, as have those beside it',
    async (end) => {
      const { scene, arrivals } = await arrive({ handlerTimeoutMs: 400 })
      const { c, ...others } = await arrivals.handle({
        async c({ tx, key }) {
          await scene.write(tx, key as string)
          await scene.commit(tx)
          if (end === 'throws') throw new Error('the handler failed')
          if (end === 'stalls') await (scene.stall?.(tx) ?? new Promise(() => undefined))
          if (end === 'hangs') await new Promise(() => undefined)
        },
      })
      expect(c).toEqual(['ended'])
      for (const statuses of Object.values(others)) {
        expect(['completed', 'duplicate']).toContain(statuses.at(-1))
      }
      expect(await scene.effects()).toEqual(KEYS)
    },
  )
}

function testHangs<Tx>(arrive: Arrive<Tx>): void {
  test.each(['hangs', 'stalls'])('a handler that %s fails alone', async (end) => {
    const { scene, arrivals } = await arrive({ handlerTimeoutMs: 400 })
    const ended = await arrivals.handle({
      async c({ tx, key, attempt }) {
        await scene.write(tx, key as string)
        if (attempt > 1) return
        if (end === 'stalls') await scene.stall?.(tx)
        await new Promise(() => undefined)
      },
    })
    expect(ended).toEqual({ ...all(['completed']), c: ['failed', 'completed'] })
    expect(await scene.effects()).toEqual(KEYS)
    expect(arrivals.attempts.get('c')).toEqual([1, 2])
    expect(new Set(arrivals.attempts.get('d'))).toEqual(new Set([1]))
  })
}

function testCuts<Tx>(arrive: Arrive<Tx>): void {
  test('a connection that is lost has no effect twice, nor counts for others', async (context) => {
    const { scene, arrivals } = await arrive()
    if (scene.cut === undefined) return context.skip('there is no connection')
    let cuts = 1
    const ended = await arrivals.handle({
      async d({ tx, key }) {
        if (cuts-- > 0) scene.cut?.()
        await scene.write(tx, key as string)
      },
    })
    for (const statuses of Object.values(ended)) expect(['completed', 'duplicate']).toContain(statuses.at(-1))
    expect(await scene.effects()).toEqual(KEYS)
    // Whose handler lost it may be what ends it.
    for (const key of KEYS.filter((each) => each !== 'd')) {
      expect(new Set(arrivals.attempts.get(key))).toEqual(new Set([1]))
    }
  })

  test('a commit whose answer is lost has each effect once, and runs no handler again', async (context) => {
    const { scene, arrivals } = await arrive()
    if (scene.cutAtCommit === undefined) return context.skip('there is no connection')
    let cuts = 1
    const ended = await arrivals.handle({
      async f({ tx, key }) {
        await scene.write(tx, key as string)
        if (cuts-- > 0) scene.cutAtCommit?.()
      },
    })
    for (const statuses of Object.values(ended)) expect(['completed', 'duplicate']).toContain(statuses.at(-1))
    expect(await scene.effects()).toEqual(KEYS)
    expect(Object.fromEntries(arrivals.attempts)).toEqual(all([1]))
  })
}

function testLongBatch<Tx>(arrive: Arrive<Tx>): void {
  test('a batch that takes long holds up no leases, neither its own nor those that wait', async () => {
    const { scene, arrivals } = await arrive({ leaseMs: 1800 })
    const ended = await arrivals.handle({
      async f({ tx, key }) {
        await scene.write(tx, key as string)
        await new Promise((resolve) => setTimeout(resolve, 1300))
      },
    })
    expect(ended).toEqual(all(['completed']))
    expect(arrivals.told).toEqual([])
  })
}

/** What became of `first` and then `second`, handled in one batch of a scene that ends with them. */
export async function outcomesInBatch<Tx>(
  scene: BatchScene<Tx>,
  first: (tx: Tx) => Promise<unknown>,
  second: (tx: Tx) => Promise<unknown>,
): Promise<string[]> {
  const strategy = transactional({ batch: { max: 8 } })
  const dedup = createDeduplicator({ store: scene.store, consumerGroup: newHex(), strategy })
  const handle = (key: string, work: (tx: Tx) => Promise<unknown>) =>
    dedup.process({ key }, async ({ tx }) => void (await work(tx as Tx)))
  const outcomes = await Promise.all([handle('first', first), handle('second', second)])
  await dedup.close()
  await scene.close()
  return outcomes.map((outcome) => ('final' in outcome && outcome.final ? 'final' : outcome.status))
}
