// Many messages of one key, more than wait in place: what becomes of them while it is busy, and at its end.
import { describe, expect, test } from 'vitest'

import { type HeldMessage, ManagedConsumer, type Receiver, type Session } from '../src/broker/index.ts'
import type { HandlerContext } from '../src/index.ts'
import { elapse, settle } from './elapse.ts'
import { setUp } from './set-up.ts'

const WINDOW = 8
const still = async (): Promise<void> => undefined
const session: Session = { pause: still, resume: still, stop: still, close: still }
const never = (): Promise<never> => new Promise(() => {})

type Handler = (context: HandlerContext) => Promise<undefined>

/** A consumer of messages that are sent by their names, each of the key before its number. */
async function consumer(
  handler: Handler,
  {
    retryMs = 100,
    holdMs = 600_000,
    ...options
  }: Parameters<typeof setUp>[0] & { retryMs?: number; holdMs?: number } = {},
) {
  const all = await setUp({ keyScope: 'group', ...options })
  let receiver: Receiver<string> | undefined
  const starts: string[] = []
  const settled: string[] = []
  const sending: (() => void)[] = []
  const broker = { confirmsAtOnce: true }
  const managed = await ManagedConsumer.start<undefined, string>({
    dedup: all.dedup,
    source: { open: async (given) => ((receiver = given), session), close: still },
    key: (message) => message.slice(0, 1),
    middlewares: [],
    retry: { firstMs: retryMs, factor: 1, maxMs: retryMs },
    concurrency: WINDOW,
    window: WINDOW,
    holdMs,
    handler: (held, context) => {
      starts.push(`${held.message} ${context.attempt}`)
      return handler(context)
    },
  })
  const held = (message: string): HeldMessage<string> => ({
    message,
    source: 'queue',
    body: Buffer.from(message),
    startsBefore: 0,
    firstAtMs: 0,
    signal: new AbortController().signal,
    ack: () => void settled.push(`ack ${message}`),
    giveBack: () => void settled.push(`return ${message}`),
    retryLater: ({ reason }) => {
      settled.push(`copy ${message} ${reason}`)
      return broker.confirmsAtOnce ? still() : new Promise((resolve) => sending.push(resolve))
    },
    deadLetter: async ({ reason, attempts }) => void settled.push(`park ${message} ${reason} ${attempts}`),
  })
  const send = (...messages: string[]): void => {
    for (const message of messages) receiver?.received(held(message))
  }
  const copies = (): string[] => settled.filter((verb) => verb.startsWith('copy'))
  const confirm = (): void => sending.shift()?.()
  return { ...all, broker, managed, send, starts, settled, copies, confirm }
}

describe('a busy key of which more is there than waits in place', () => {
  test('none of its messages leaves in the first second', async () => {
    const { clock, send, copies } = await consumer(never)
    send('a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7')
    await elapse(clock, 900)
    expect(copies()).toEqual([])
    await elapse(clock, 200)
    expect(copies()).toEqual(['copy a6 busy', 'copy a7 busy'])
  })

  test('after that they leave at once', async () => {
    const { clock, broker, send, copies, confirm } = await consumer(never)
    broker.confirmsAtOnce = false
    send('a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7')
    await elapse(clock, 1100)
    expect(copies()).toEqual(['copy a6 busy'])
    send('a8')
    confirm()
    await settle()
    confirm()
    await settle()
    expect(copies()).toEqual(['copy a6 busy', 'copy a7 busy', 'copy a8 busy'])
  })

  test('the second begins again with the next start', async () => {
    const ends: (() => void)[] = []
    const failed = (): Promise<never> =>
      new Promise((_, reject) => ends.push(() => reject(new Error('failed'))))
    const { clock, broker, send, copies, confirm, starts } = await consumer(failed, { retryMs: 60_000 })
    broker.confirmsAtOnce = false
    send('a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7')
    await elapse(clock, 1100)
    expect(copies()).toEqual(['copy a6 busy'])
    ends.shift()?.()
    await elapse(clock, 1500)
    // It waits for the one that is on its way.
    expect(starts).toEqual(['a1 1'])
    confirm()
    await elapse(clock, 10)
    expect(starts).toEqual(['a1 1', 'a2 2'])
    await elapse(clock, 900)
    expect(copies()).toEqual(['copy a6 busy'])
    await elapse(clock, 200)
    expect(copies()).toEqual(['copy a6 busy', 'copy a7 busy'])
  })

  test('none is started while another is on its way, of which its end would leave two', async () => {
    const { clock, store, broker, send, copies, confirm, starts } = await consumer(never)
    const elsewhere = await setUp({ beside: { clock, store }, keyScope: 'group' })
    broker.confirmsAtOnce = false
    const outcome = await elsewhere.dedup.claim({ key: 'a' })
    if (outcome.status !== 'granted') throw new Error(outcome.status)
    send('a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7')
    await elapse(clock, 1500)
    expect(copies()).toHaveLength(1)
    await outcome.claim.release('failed')
    await elapse(clock, 3000)
    expect(starts).toEqual([])
    confirm()
    await elapse(clock, 900)
    expect([starts.length, copies().length]).toEqual([1, 1])
  })

  test('one of them is on its way at a time', async () => {
    const { clock, broker, send, copies, settled, confirm } = await consumer(never)
    broker.confirmsAtOnce = false
    send('a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 'a8')
    await elapse(clock, 1100)
    expect(copies()).toEqual(['copy a6 busy'])
    confirm()
    await settle()
    expect(settled).toEqual(['copy a6 busy', 'ack a6', 'copy a7 busy'])
  })

  test('one that does not get there lets others leave', async () => {
    const { clock, broker, send, copies, confirm } = await consumer(never)
    broker.confirmsAtOnce = false
    send('a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7')
    await elapse(clock, 5000)
    expect(copies()).toEqual(['copy a6 busy'])
    confirm()
    await elapse(clock, 1100)
    expect(copies()).toEqual(['copy a6 busy', 'copy a7 busy'])
  })

  test('one that must not be held for another second leaves', async () => {
    const { send, copies } = await consumer(never, { holdMs: 500 })
    send('a1', 'a2', 'a3', 'a4', 'a5', 'a6')
    await settle()
    expect(copies()).toEqual(['copy a6 busy'])
  })

  test('messages of other keys leave when they want to', async () => {
    const failing: Handler = async ({ key }) => (key === 'a' ? never() : Promise.reject(new Error('failed')))
    const { clock, send, copies } = await consumer(failing, { retryMs: 60_000 })
    send('a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7')
    await settle()
    send('b1')
    await elapse(clock, 500)
    expect(copies()).toEqual(['copy b1 failed'])
  })
})

describe('messages of a key that are held when one of them is dead-lettered', () => {
  const failing: Handler = () => Promise.reject(new Error('failed'))

  test('go the same way, without a start of their own', async () => {
    const { clock, send, starts, settled } = await consumer(failing, { attemptsMax: 3 })
    send('a1', 'a2', 'a3', 'a4', 'a5')
    await elapse(clock, 3000)
    expect(starts).toHaveLength(3)
    const parked = settled.filter((verb) => verb.startsWith('park'))
    expect(parked.map((verb) => verb.slice(0, 7)).toSorted()).toEqual([
      'park a1',
      'park a2',
      'park a3',
      'park a4',
      'park a5',
    ])
    expect(settled.filter((verb) => verb.startsWith('ack'))).toHaveLength(5)
  })

  test('go the same way also where its attempts were used up by crashes', async () => {
    const options = { attemptsMax: 1, leaseMs: 1000, keyScope: 'group' } as const
    const all = await setUp(options)
    for (let crash = 0; crash < 2; crash += 1) {
      const crashing = await setUp({ apartFrom: all, ...options })
      void crashing.dedup.process({ key: 'a' }, never)
      await settle()
      crashing.store.hangs()
      await elapse(all.clock, 1000)
    }
    const { clock, send, starts, settled } = await consumer(failing, { apartFrom: all, ...options })
    send('a1', 'a2', 'a3', 'a4', 'a5')
    await elapse(clock, 3000)
    expect(starts).toEqual([])
    expect(settled.filter((verb) => verb.startsWith('park'))).toHaveLength(5)
  })

  test('at once, also those that wait to look again, and before what comes then is started', async () => {
    let end = (): void => undefined
    const failing = (): Promise<never> =>
      new Promise((_, reject) => (end = () => reject(new Error('failed'))))
    const { clock, send, starts, settled } = await consumer(failing, { attemptsMax: 1, waitersMax: 0 })
    send('a1', 'a2', 'a3')
    await elapse(clock, 100)
    end()
    await settle()
    expect(settled.filter((verb) => verb.startsWith('park'))).toHaveLength(3)
    await elapse(clock, 1)
    send('a4')
    await elapse(clock, 10)
    expect(starts).toEqual(['a1 1', 'a4 1'])
  })

  test('what comes afterwards is a replay, and starts afresh', async () => {
    const { clock, send, starts } = await consumer(failing, { attemptsMax: 2 })
    send('a1', 'a2')
    await elapse(clock, 3000)
    starts.length = 0
    send('a1')
    await settle()
    expect(starts).toEqual(['a1 1'])
  })

  test('another payload under the key is not the same event', async () => {
    const { clock, dedup } = await setUp({ attemptsMax: 1, fingerprint: true, onConflict: 'process' })
    const heldSinceMs = clock.monotonicMs()
    const deliver = (text: string, handler: Handler) =>
      dedup.process({ key: 'a', body: Buffer.from(text), heldSinceMs }, handler)
    const outcome = await deliver('one', failing)
    if ('forgive' in outcome) await outcome.forgive?.()
    expect(await deliver('one', failing)).toMatchObject({ status: 'rejected', reason: 'attempts' })
    expect(await deliver('two', async () => undefined)).toMatchObject({ status: 'completed' })
  })

  test('a call that nobody holds runs', async () => {
    const { dedup } = await setUp({ attemptsMax: 1 })
    const outcome = await dedup.process({ key: 'a' }, failing)
    if ('forgive' in outcome) await outcome.forgive?.()
    expect(await dedup.process({ key: 'a' }, async () => undefined)).toMatchObject({ status: 'completed' })
  })
})
