import { describe, expect, test } from 'vitest'

import type { DeadLetter, HeldMessage, MessageSource, Receiver, Retry } from '../src/broker/index.ts'
import { ManagedConsumer } from '../src/broker/index.ts'
import { elapse, settle } from './elapse.ts'
import { setUp } from './set-up.ts'

interface Message {
  readonly name: string
  readonly key?: string
}

type Options = Parameters<typeof setUp>[0] & { readonly throwing?: boolean }

/** A consumer that is handed what the test says. */
async function consuming({ throwing = false, ...options }: Options = {}) {
  const { clock, dedup } = await setUp(options)
  const [runs, letters, middlewares] = [[] as string[], [] as [string, DeadLetter][], [] as string[]]
  let receiver: Receiver<Message> | undefined
  let pauses = 0
  const never = async (): Promise<void> => undefined
  const pause = async (): Promise<void> => void (pauses += 1)
  const source: MessageSource<Message> = {
    async open(given) {
      receiver = given
      return { pause, resume: never, stop: never, close: never }
    },
    close: never,
  }
  await ManagedConsumer.start<undefined, Message>({
    dedup,
    source,
    key: ({ key }) => key,
    handler: async ({ message }) => void runs.push(message.name),
    middlewares: [
      async ({ name }, next) => {
        middlewares.push(name)
        if (throwing) throw new Error('no')
        return next()
      },
    ],
    retry: { firstMs: 1000, factor: 1, maxMs: 1000 },
    window: 10,
    concurrency: 10,
    holdMs: 900_000,
  })
  const receive = (message: Message, held: Partial<HeldMessage<Message>>): void =>
    receiver?.received({
      message,
      source: 'queue',
      body: Buffer.from(message.name),
      startsBefore: 0,
      firstAtMs: 0,
      signal: new AbortController().signal,
      ack: () => undefined,
      giveBack: () => undefined,
      retryLater: () => Promise.reject(new Error('it cannot be copied')),
      deadLetter: async (letter) => void letters.push([message.name, letter]),
      ...held,
    })
  return { clock, dedup, receive, runs, letters, middlewares, pauses: () => pauses }
}

describe('a message that no copy gives back as it is', () => {
  const isWornOut = (): boolean => true

  test('is put aside when it is worn out, and its neighbours go on', async () => {
    const { receive, runs, letters, pauses } = await consuming()
    receive({ name: 'odd' }, { isWornOut, isUncopyable: true, startsBefore: 1, returnsBefore: 1 })
    receive({ name: 'neighbour', key: 'b' }, {})
    await settle()
    expect([runs, pauses()]).toEqual([['neighbour'], 0])
    expect(letters).toMatchObject([['odd', { reason: 'attempts', attempts: 1 }]])
  })

  test('runs when it is not, or when its copy was refused for the moment alone', async () => {
    const { clock, receive, runs, letters } = await consuming()
    receive({ name: 'odd' }, { isWornOut: () => false, isUncopyable: true })
    receive({ name: 'refused' }, { isWornOut })
    await elapse(clock, 10)
    expect([runs.toSorted(), letters]).toEqual([['odd', 'refused'], []])
  })
})

test('a copy tells which of its starts were returns, so that the next one counts on', async () => {
  const { clock, receive } = await consuming({ attemptsMax: 9, throwing: true })
  const told: unknown[] = []
  const retryLater = async ({ reason, starts, returns }: Retry): Promise<void> =>
    void told.push([reason, starts, returns])
  const held = { startsBefore: 3, returnsBefore: 2, retryLater }
  receive({ name: 'a', key: 'a' }, { ...held, isWornOut: () => true })
  for (let message = 0; message < 10; message += 1) receive({ name: `${message}`, key: 'b' }, held)
  await elapse(clock, 60_000)
  expect(told[0]).toEqual(['worn-out', 3, 2])
  expect(told[1]).toEqual(['failed', 2, 0])
})

test('a dead letter is told when it is durable, and not before', async () => {
  const { clock, dedup, receive } = await consuming({ attemptsMax: 1, throwing: true })
  const told: unknown[] = []
  dedup.on('deadLettered', (event) => void told.push(event))
  const refusal = new Error('the broker has an alarm')
  let isRefused = true
  const deadLetter = async (): Promise<void> => {
    if (isRefused) throw refusal
  }
  receive({ name: 'a', key: 'a' }, { deadLetter })
  await elapse(clock, 60_000)
  expect([told, dedup.counts().deadLettered]).toEqual([[], 0])
  isRefused = false
  await elapse(clock, 60_000)
  expect(told).toEqual([{ source: 'queue', reason: 'attempts', attempt: 1, errorName: 'Error' }])
  expect(dedup.counts().deadLettered).toBe(1)
})

describe('a middleware that throws', () => {
  test.each([
    ['a key: its returns were no starts', { key: 'a' }, 3],
    ['no key: its returns count', {}, 1],
  ])('for a message with %s', async (_, properties, attempts) => {
    const { clock, receive, letters, middlewares } = await consuming({ attemptsMax: 3, throwing: true })
    receive({ name: 'a', ...properties }, { startsBefore: 2, returnsBefore: 2 })
    await elapse(clock, 60_000)
    expect(middlewares).toHaveLength(attempts)
    expect(letters).toMatchObject([['a', { reason: 'attempts', attempts: 3 }]])
  })

  test('counts on what a copy of ours says', async () => {
    const { clock, receive, letters, middlewares } = await consuming({ attemptsMax: 3, throwing: true })
    receive({ name: 'a', key: 'a' }, { startsBefore: 3, returnsBefore: 1 })
    await elapse(clock, 60_000)
    expect([middlewares.length, letters[0]?.[1].attempts]).toEqual([1, 3])
  })
})
