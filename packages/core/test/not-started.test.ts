import { expect, test } from 'vitest'
import type { HeldMessage } from '../src/broker/index.ts'
import { DeliveryLoop } from '../src/broker/index.ts'
import { elapse } from './elapse.ts'
import { setUp } from './set-up.ts'

interface Message {
  readonly name: string
}

/** A loop with one slot. */
async function looping() {
  const { clock, dedup, told } = await setUp({ attemptsMax: 3 })
  const [letters, acked] = [[] as unknown[], [] as string[]]
  const loop = new DeliveryLoop<Message>({
    dedup: dedup as never,
    key: ({ name }) => name,
    policy: { retry: { firstMs: 1000, factor: 1, maxMs: 1000 }, onUnconfirmed: 'retry' },
    window: 10,
    concurrency: 1,
    holdMs: 900_000,
  })
  const held = (name: string): HeldMessage<Message> => ({
    message: { name },
    source: 'queue',
    body: Buffer.from(name),
    startsBefore: 0,
    firstAtMs: 0,
    signal: new AbortController().signal,
    ack: () => void acked.push(name),
    giveBack: () => undefined,
    retryLater: () => Promise.reject(new Error('it waits here')),
    deadLetter: async ({ reason, attempts }) => void letters.push({ name, reason, attempts }),
  })
  return { clock, loop, held, letters, acked, told }
}

test('an attempt that throws, which none should, counts as one, and keeps no place', async () => {
  const { clock, loop, held, letters, acked } = await looping()
  const broken = loop.run(held('broken'), () => Promise.reject(new Error('nobody foresaw it')))
  await elapse(clock, 5000)
  await broken
  expect(letters).toEqual([{ name: 'broken', reason: 'attempts', attempts: 3 }])
  await loop.run(held('next'), async () => ({ status: 'duplicate', result: undefined }))
  expect(acked).toEqual(['broken', 'next'])
  expect(loop.isEmpty).toBe(true)
})

test('what it threw is told by its name, of which no more is shown than a name needs', async () => {
  const { clock, loop, held, told } = await looping()
  const error = Object.assign(new Error('s3cr3t'), { name: 'N'.repeat(1000) })
  const broken = loop.run(held('broken'), () => Promise.reject(error))
  await elapse(clock, 5000)
  await broken
  const message = `an attempt threw ${'N'.repeat(100)}`
  expect(told.filter(({ name }) => name === 'warning')).toEqual(
    Array.from({ length: 3 }, () => ({ name: 'warning', message })),
  )
})
