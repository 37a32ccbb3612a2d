import { isOncemqError } from '@oncemq/core'
import { SimpleConsumer } from 'rocketmq-client-nodejs'
import { expect, test } from 'vitest'
import { consume, dedupListener, dedupSimpleConsumer } from '../src/index.ts'
import { deduplicator, silent } from './set-up.ts'

const listener = { consume: () => undefined }

function simple(): SimpleConsumer {
  const subscriptions = new Map([['t', '*']])
  return new SimpleConsumer({
    endpoints: '127.0.0.1:1',
    namespace: '',
    consumerGroup: 'g',
    subscriptions,
    logger: silent,
  })
}

test.each([
  ['a listener that is none', () => dedupListener({} as never, deduplicator())],
  ['no deduplicator', () => dedupListener(listener, undefined as never)],
  ['a misspelt option', () => dedupListener(listener, deduplicator(), { concurency: 1 } as never)],
  ['no place to work', () => dedupListener(listener, deduplicator(), { concurrency: 0 })],
  ['other results', () => dedupListener(listener, deduplicator(), { results: {} as never })],
  ['a consumer that is none', () => dedupSimpleConsumer({} as never, deduplicator())],
  ['a negative time', () => dedupSimpleConsumer(simple(), deduplicator(), { holdMs: -1 })],
  ['a key that is no function', () => dedupSimpleConsumer(simple(), deduplicator(), { key: 'id' as never })],
  ['a producer that is none', () => dedupSimpleConsumer(simple(), deduplicator(), { producer: {} as never })],
])('refuses %s with a code', (_, make) => {
  expect(make).toThrow(expect.objectContaining({ code: 'ONCEMQ_OPTION_INVALID' }) as Error)
})

test.each([
  ['handler', { handler: undefined }],
  ['consumer', { consumer: undefined }],
  ['invisibleMs', { invisibleMs: 9999 }],
  ['retry.factor', { retry: { factor: 0 } }],
  ['middlewares', { middlewares: [1] }],
])('refuses a wrong %s of consume', async (name, wrong) => {
  const options = { consumer: simple(), dedup: deduplicator(), handler: () => undefined, ...wrong }
  const error: unknown = await consume(options as never).catch((thrown: unknown) => thrown)
  expect(isOncemqError(error) && error.code).toBe('ONCEMQ_OPTION_INVALID')
  expect((error as Error).message).toContain(name)
})
