// Every public entry point, called with every kind of wrong value in the place of each of its arguments and
// options: what is refused says what was expected, what was received and what to do, and quotes no secret.
import { inspect } from 'node:util'
import * as core from '@oncemq/core'
import type { Consumer } from '@oncemq/kafka'
import * as kafka from '@oncemq/kafka'
import { MongoStore } from '@oncemq/mongodb'
import { MysqlStore } from '@oncemq/mysql'
import { PostgresStore } from '@oncemq/postgres'
import * as rabbitmq from '@oncemq/rabbitmq'
import { RedisStore } from '@oncemq/redis'
import * as rocketmq from '@oncemq/rocketmq'
import { SqliteStore } from '@oncemq/sqlite'
import { describe, expect, test } from 'vitest'

const SECRET = 's3cr3t'
const none = (): undefined => undefined
const refusing = (): Promise<never> => Promise.reject(new Error('no server'))
const dedup = core.createDeduplicator({ store: new core.MemoryStore(), consumerGroup: 'entry-points' })
dedup.on('warning', none)

const CHANNEL_METHODS =
  'consume cancel get ack ackAll nack nackAll reject recover prefetch publish sendToQueue close on'
const amqpChannel = Object.fromEntries(CHANNEL_METHODS.split(' ').map((name) => [name, none]))
const amqpConnection = { createChannel: refusing, createConfirmChannel: refusing }
const ended = async (): Promise<void> => undefined
const simpleConsumer = {
  receive: refusing,
  ack: none,
  changeInvisibleDuration: none,
  startup: ended,
  shutdown: ended,
  isRunning: () => true,
}
const rocketmqClient = { startup: ended, shutdown: ended }
const kafkaProducer = { connect: refusing, disconnect: ended, send: refusing }
const kafkaConsumer = {
  connect: refusing,
  disconnect: ended,
  subscribe: refusing,
  run: refusing,
  stop: ended,
  commitOffsets: refusing,
  pause: none,
  resume: none,
  seek: none,
  on: none,
  events: {},
}
const kafkaSource = { consumer: kafkaConsumer, producer: kafkaProducer }

const wrong: readonly (readonly [what: string, value: unknown])[] = [
  ['nothing', undefined],
  ['null', null],
  ['a fraction', 0.5],
  ['a text', `amqp://user:${SECRET}@host`],
  ['a long text', SECRET.repeat(100)],
  ['an array', [`amqp://user:${SECRET}@host`]],
  ['an object', { password: SECRET }],
  ['a promise', Promise.resolve(SECRET)],
  ['a function', () => SECRET],
  ['a big number', 10n],
]

type Entry = readonly [name: string, call: (...args: never[]) => unknown, args: readonly unknown[]]

function made(Class: new (options: never) => object): (options: never) => object {
  return (options) => new Class(options)
}

const managed = { dedup, handler: none }
const entries: Entry[] = [
  ['createDeduplicator', core.createDeduplicator, [{ store: new core.MemoryStore(), consumerGroup: 'g' }]],
  ['run', dedup.run.bind(dedup), ['a key', none, {}]],
  ['on', dedup.on.bind(dedup), ['outage', none]],
  ['shutdown', core.shutdown, [{}]],
  ['naturalKey', core.naturalKey, [{ constraint: 'orders_pkey' }]],
  ['MemoryStore', made(core.MemoryStore), [{}]],
  ['PostgresStore', made(PostgresStore), [{ url: 'postgres://h/d' }]],
  ['MysqlStore', made(MysqlStore), [{ url: 'mysql://h/d' }]],
  ['MongoStore', made(MongoStore), [{ url: 'mongodb://h/d' }]],
  ['RedisStore', made(RedisStore), [{ url: 'redis://h' }]],
  ['SqliteStore', made(SqliteStore), [{ path: ':memory:' }]],
  ['rabbitmq consume', rabbitmq.consume, [{ ...managed, queue: 'q', connection: amqpConnection }]],
  ['rabbitmq dedupChannel', rabbitmq.dedupChannel, [amqpChannel, dedup, { connection: amqpConnection }]],
  ['rabbitmq dedupListener', rabbitmq.dedupListener, [none, dedup, {}]],
  ['rabbitmq header', rabbitmq.header, ['x-id']],
  ['rabbitmq jsonField', rabbitmq.jsonField, ['order.id']],
  ['rabbitmq stampId', rabbitmq.stampId, [{}, 'an id']],
  ['rocketmq consume', rocketmq.consume, [{ ...managed, consumer: simpleConsumer }]],
  ['rocketmq dedupSimpleConsumer', rocketmq.dedupSimpleConsumer, [simpleConsumer, dedup, {}]],
  ['rocketmq dedupListener', rocketmq.dedupListener, [{ consume: none }, dedup, {}]],
  ['rocketmq startClient', rocketmq.startClient, [rocketmqClient, {}]],
  ['rocketmq stopClient', rocketmq.stopClient, [rocketmqClient, {}]],
  ['rocketmq property', rocketmq.property, ['x-id']],
  ['kafka consume', kafka.consume, [{ ...managed, ...kafkaSource, topics: ['t'] }]],
  ['kafka dedupEachMessage', kafka.dedupEachMessage, [none, dedup, { producer: kafkaProducer }]],
  ['kafka dedupEachBatch', kafka.dedupEachBatch, [none, dedup, { producer: kafkaProducer }]],
  ['kafka header', kafka.header, ['x-id']],
  ['kafka stampId', kafka.stampId, [{}, 'an id']],
]

/** What the call is refused with; `undefined` for what it takes. */
async function refusal(call: Entry[1], args: readonly unknown[]): Promise<unknown> {
  try {
    const answer = (await call(...(args as never[]))) as Partial<Consumer> | undefined
    if (typeof answer?.health === 'function') await answer.close?.({ timeoutMs: 0 })
    return undefined
  } catch (error) {
    return error
  }
}

/** The names of an entry's options, by what it says to one that does not exist. */
async function optionsOf(call: Entry[1], args: readonly unknown[], position: number): Promise<string[]> {
  const given = args[position]
  if (Object.getPrototypeOf(given ?? none) !== Object.prototype) return []
  const error = await refusal(call, args.with(position, { ...(given as object), 'no such option': 1 }))
  const [, names] =
    /expected only the options (.*), received/.exec((error as Error | undefined)?.message ?? '') ?? []
  return names?.split(', ') ?? []
}

describe.each(entries)('%s', (_, call, args) => {
  test('takes what is right', async () => {
    expect(inspect(await refusal(call, args))).toMatch(/undefined|no server/)
  })

  test('refuses what is wrong in words that help', { timeout: 60_000 }, async () => {
    const calls: [string, readonly unknown[]][] = []
    for (const [position, given] of args.entries()) {
      for (const [what, value] of wrong) calls.push([`${what} at ${position}`, args.with(position, value)])
      for (const option of await optionsOf(call, args, position))
        for (const [what, value] of wrong)
          calls.push([`${what} as ${option}`, args.with(position, { ...(given as object), [option]: value })])
    }
    let refused = 0
    for (const [what, given] of calls) {
      const error = await refusal(call, given)
      if (error === undefined) continue
      refused += 1
      const { code, message } = error as Partial<core.OncemqError>
      expect(core.isOncemqError(error) && code, `${what}: ${inspect(error)}`).not.toBe(false)
      expect(message, what).toMatch(/^[^:]+: expected .+, received .+; .+/s)
      expect(message, what).not.toContain(SECRET)
    }
    expect(refused).toBeGreaterThan(calls.length / 2)
  })
})
