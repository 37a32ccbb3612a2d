import { isOncemqError } from '@oncemq/core'
import { Kafka, logLevel } from 'kafkajs'
import { expect, test } from 'vitest'
import { consume, dedupEachMessage } from '../src/index.ts'
import { deduplicator } from './set-up.ts'

const kafka = new Kafka({ brokers: ['127.0.0.1:1'], logLevel: logLevel.NOTHING })

test.each([
  ['handler', { handler: undefined }],
  ['consume: expected either client', { client: undefined }],
  ['consume: expected either client', { consumer: kafka.consumer({ groupId: 'g' }) }],
  ['consumer', { client: undefined, consumer: {}, producer: kafka.producer() }],
  ['producer', { client: undefined, consumer: kafka.consumer({ groupId: 'g' }), producer: {} }],
  ['topics', { topics: [] }],
  ['topics', { topics: 'orders' }],
  ['ordering', { ordering: 'queue' }],
  ['concurrency', { concurrency: 0 }],
  ['retry.factor', { retry: { factor: 0 } }],
  ['middlewares', { middlewares: [1] }],
  ['concurency', { concurency: 1 }],
])('refuses a wrong %s of consume', async (name, wrong) => {
  const options = { client: kafka, topics: ['t'], dedup: deduplicator(), handler: () => undefined, ...wrong }
  const error: unknown = await consume(options as never).catch((thrown: unknown) => thrown)
  expect(isOncemqError(error) && error.code).toBe('ONCEMQ_OPTION_INVALID')
  expect((error as Error).message).toContain(name)
})

test.each([
  [
    'a handler that is none',
    () => dedupEachMessage({} as never, deduplicator(), { producer: kafka.producer() }),
  ],
  ['no producer', () => dedupEachMessage(() => undefined, deduplicator(), {} as never)],
  ['no deduplicator', () => dedupEachMessage(() => undefined, {} as never, { producer: kafka.producer() })],
])('refuses %s with a code', (_, make) => {
  expect(make).toThrow(expect.objectContaining({ code: 'ONCEMQ_OPTION_INVALID' }) as Error)
})
