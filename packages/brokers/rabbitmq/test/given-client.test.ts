// What is mistaken for a channel or a connection of amqplib. Other clients stand here by the methods that
// tell them; each of these was tried with the package itself.
import { createDeduplicator, MemoryStore } from '@oncemq/core'
import { describe, expect, test } from 'vitest'
import type { AmqpChannel, AmqpConnection, ConsumeOptions } from '../src/index.ts'
import { consume, dedupChannel } from '../src/index.ts'

const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'given' })
const none = (): undefined => undefined
const METHODS = 'consume cancel get ack ackAll nack nackAll reject recover prefetch publish close on'
const channel = Object.fromEntries(METHODS.split(' ').map((name) => [name, none])) as unknown as AmqpChannel
const connection = { createChannel: none, createConfirmChannel: none }
const managerChannel = { ...channel, addSetup: none }
const manager = { createChannel: none, isConnected: none, reconnect: none }
const otherConnection = { acquire: none, createConsumer: none, on: none }
const otherChannel = { basicConsume: none, basicAck: none, on: none }

const OTHERS: [string, unknown, RegExp][] = [
  ['a promise', Promise.resolve(), /received a promise \(await it first\); pass await/],
  ['nothing', undefined, /received (undefined|none); (pass await|give)/],
  ['an address', 'amqp://u:s3cr3t@h', /received a string; pass await/],
  ["a manager's channel", managerChannel, /amqp-connection-manager, whose tags .*; wrap the channel/],
  ['a manager', manager, /amqp-connection-manager, which opens .*; wrap the channel/],
  ["rabbitmq-client's connection", otherConnection, /not supported; .* run, see https:.*docs\/which-way\.md/],
  ["another client's channel", otherChannel, /not supported; .* run, see https:.*docs\/which-way\.md/],
]

describe('dedupChannel refuses', () => {
  test.each([
    ...OTHERS,
    ['a connection', connection, /received a connection; pass await connection\.createChannel\(\)/] as const,
  ])('%s', (_, given, message) => {
    expect(() => dedupChannel(given as never, dedup)).toThrow(message)
  })

  test('one that is wrapped already', () => {
    const wrapped = dedupChannel(channel, dedup, { connection: connection as unknown as AmqpConnection })
    expect(() => dedupChannel(wrapped, dedup)).toThrow(/received one that is wrapped already; wrap it once/)
  })
})

describe('consume refuses', () => {
  const start = (options: object) =>
    consume({ queue: 'q', dedup, handler: () => undefined, ...options } as ConsumeOptions)

  test.each([
    ...OTHERS,
    ['a channel', channel, /expected a connection of amqplib, received a channel; pass await/] as const,
  ])('as a connection %s', async (_, given, message) => {
    await expect(start({ connection: given })).rejects.toThrow(message)
  })

  test('as a channel a connection', async () => {
    await expect(start({ channel: connection })).rejects.toThrow(/received a connection; pass await/)
  })

  test.each([
    ['nothing', undefined],
    ['a channel', channel],
  ])('%s that is made as a connection, at once instead of for ever', async (_, made) => {
    await expect(start({ connect: async () => made })).rejects.toThrow(
      /^connect: expected a connection of amqplib, received (undefined|a channel); pass await/,
    )
  })

  test('a promise in place of what connects', async () => {
    await expect(start({ connect: Promise.resolve() })).rejects.toThrow(
      /^connect: expected a function, received a promise \(await it first\)/,
    )
  })
})
