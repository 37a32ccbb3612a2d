import { readFileSync } from 'node:fs'
import { createDeduplicator, MemoryStore } from '@oncemq/core'
import { describe, expect, test } from 'vitest'
import type { AmqpConnection, ConsumeOptions } from '../src/index.ts'
import { consume, consumeDefaults, dedupChannel, dedupChannelDefaults } from '../src/index.ts'

const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'options' })
const refusing = (): Promise<never> => Promise.reject(new Error('asked for a channel'))
const connection = { createChannel: refusing, createConfirmChannel: refusing }
const good: ConsumeOptions = {
  connection: connection as unknown as AmqpConnection,
  queue: 'q',
  dedup,
  handler: () => undefined,
}

describe('consume refuses, and says what was expected, what it received and the remedy', () => {
  const wrong: [string, object, RegExp][] = [
    ['no deduplicator', { dedup: undefined }, /expected a deduplicator, received undefined; make one/],
    ['no queue', { queue: '' }, /queue: expected a queue's name, received a string; declare one/],
    ['a handler that is none', { handler: 'x' }, /handler: expected a function, received 'x'; pass/],
    [
      'no source of channels',
      { connection: undefined },
      /expected one of connection, .*, received none; give/,
    ],
    ['two sources', { connect: () => undefined }, /received connection and connect/],
    ['an unlimited prefetch', { prefetch: 0 }, /prefetch: expected an integer \(1 to 65535\), received 0/],
    ['a fraction', { prefetch: 1.5 }, /prefetch: expected an integer/],
    ['a negative wait', { retry: { firstMs: -1 } }, /retry.firstMs: expected an integer/],
    ['a wait that shrinks', { retry: { factor: 0.5 } }, /retry.factor: expected a number \(1 to 100\)/],
    ['another dead letter', { onDeadLetter: 'drop' }, /onDeadLetter: expected one of 'park', 'broker'/],
    ['middlewares that are none', { middlewares: [1] }, /middlewares\[0\]: expected a function/],
    ['a misspelt option', { prefech: 1 }, /expected only the options .*, received 'prefech'/],
    [
      'a key that is no function',
      { key: 'messageId' },
      /key: expected a function, received 'messageId'; pass/,
    ],
    ['another type of queue', { waitQueueType: 'stream' }, /waitQueueType: expected one of/],
    ['a consumer without acks', { consume: { noAck: true } }, /expected a consumer that acks/],
    ['a stream', { consume: { arguments: { 'x-stream-offset': 1 } } }, /received a stream/],
  ]
  test.each(wrong)('%s', async (_, options, message) => {
    await expect(consume({ ...good, ...options } as ConsumeOptions)).rejects.toThrow(message)
  })

  test('nothing where all is good: a broker that cannot be had is told, and asked again', async () => {
    const warnings: string[] = []
    const off = dedup.on('warning', ({ message }) => void warnings.push(message))
    const consumer = await consume(good)
    expect(warnings).toEqual([expect.stringMatching(/asked for a channel\); trying again until it can/)])
    await consumer.close()
    off()
  })
})

test('dedupChannel refuses what it cannot wrap', () => {
  const channel = { consume() {}, ack() {}, nack() {}, on() {}, recover() {} }
  expect(() => dedupChannel(channel, undefined as never)).toThrow(/expected a deduplicator/)
  expect(() => dedupChannel(channel, dedup, { onDeadLetter: 'drop' as never })).toThrow(
    /onDeadLetter: expected one of/,
  )
  expect(() => dedupChannel(channel, dedup)).toThrow(/cannot open a second one; pass the connection/)
})

test('the docs of each option name the default that is in force', () => {
  const source = readFileSync(new URL('../src/options.ts', import.meta.url), 'utf8')
  const documented = new Map(
    [...source.matchAll(/@default (.+)\n\s*\*\/\n\s*(\w+)\?:/g)].map(([, value = '', name = '']) => [
      name,
      value,
    ]),
  )
  const inForce = { ...dedupChannelDefaults, ...consumeDefaults }
  const shown = Object.entries(inForce).map(([name, value]) => [name, literal(value)] as const)
  expect(documented).toEqual(new Map(shown))
})

function literal(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : JSON.stringify(value)
}
