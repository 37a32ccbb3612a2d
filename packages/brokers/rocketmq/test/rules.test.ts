// What the managed form promises of a message that does not go the usual way.
import { describeService } from '@oncemq/test-services/vitest'
import { expect, onTestFinished, test } from 'vitest'
import type { ConsumeOptions, RocketmqMessage } from '../src/index.ts'
import { consume, messageKeys } from '../src/index.ts'
import { FaultyStore } from './faulty-store.ts'
import { deduplicator, nextOf, type Place, place, quiet, until } from './set-up.ts'

const REFUSED_MS = 6000
const COPIES = 100
/** Several times a wait of the core's own, less than the least that a copy is put off for. */
const BUSY_MS = 6000
const LONG_MS = 60_000

describeService('rocketmq-fast', ({ url }) => {
  const consuming = async (
    at: Place,
    options: Partial<ConsumeOptions> & Pick<ConsumeOptions, 'handler' | 'dedup'>,
  ) => {
    const consumer = await consume({ consumer: at.simple(), retry: { firstMs: 100 }, ...options })
    onTestFinished(() => consumer.close({ timeoutMs: 1000 }))
    return consumer
  }

  test(
    'copies of one busy key cost few attempts, and stop no others',
    async () => {
      const at = await place(url, 'NORMAL', {}, 1)
      const dedup = deduplicator()
      // What is left of its lease is how long a busy copy is to wait.
      const other = deduplicator({ store: dedup.settings.store, leaseMs: 2000 })
      const held = await other.claim({ key: 'a', source: at.topic })
      if (held.status !== 'granted') throw new Error('not granted')
      const attempts: number[] = []
      const noting: NonNullable<ConsumeOptions['middlewares']>[number] = async (message, next) => {
        attempts.push(message.deliveryAttempt ?? 1)
        return next()
      }
      await consuming(at, { dedup, handler: () => undefined, middlewares: [noting], concurrency: 4 })
      // More than may wait here.
      await Promise.all(Array.from({ length: COPIES }, () => at.send('a')))
      await until('the first copies', () => dedup.counts().busy > 0)
      await Promise.all(Array.from({ length: 20 }, (_, index) => at.send(`b${index}`)))
      await until('the others', () => dedup.counts().completed === 20)
      await quiet(BUSY_MS)
      expect(Math.max(...attempts)).toBe(1)
      await held.claim.release('failed')
      await until('all', () => dedup.counts().completed + dedup.counts().duplicate === COPIES + 20, LONG_MS)
      expect(dedup.counts().completed).toBe(21)
    },
    LONG_MS,
  )

  test('gives each attempt, and the parking topic, the message as it arrived', async () => {
    const at = await place(url)
    const dedup = deduplicator({ attemptsMax: 3 })
    const seen: string[] = []
    const handler = (message: RocketmqMessage): never => {
      seen.push(`${message.messageId.length} ${message.keys.join()} ${message.body.toString()}`)
      message.body.fill(0)
      ;(message.keys as string[]).length = 0
      ;(message.properties as Map<string, string>).clear()
      Object.assign(message, { messageId: 'another', topic: 'another' })
      throw new TypeError('a broken payment')
    }
    await consuming(at, { dedup, handler, producer: await at.producer() })
    await at.send('a', { keys: ['a'], tag: 'T' })
    const parked = await at.started(`${at.topic}_parked`)
    const copy = await nextOf(parked)
    expect(seen).toEqual(['34 a a', '34 a a', '34 a a'])
    expect(copy.body.toString()).toBe('a')
    expect(copy).toMatchObject({ keys: ['a'], tag: 'T' })
    const { 'oncemq-first-at': first = '', ...said } = Object.fromEntries(copy.properties)
    expect(said).toMatchObject({
      'oncemq-reason': 'attempts',
      'oncemq-error': 'TypeError',
      'oncemq-error-message': 'a broken payment',
      'oncemq-attempts': '3',
      'oncemq-topic': at.topic,
      'oncemq-message-id': expect.stringMatching(/^[0-9A-F]{34}$/) as string,
    })
    expect(Date.parse(said['oncemq-last-at'] ?? '')).toBeGreaterThanOrEqual(Date.parse(first))
    await parked.ack(copy)
  })

  test('gives an attempt a message of its own, also while the one before still has its', async () => {
    const at = await place(url)
    const dedup = deduplicator({ handlerTimeoutMs: 200 })
    const seen: string[] = []
    const handler = async ({ body }: RocketmqMessage): Promise<void> => {
      seen.push(body.toString())
      body.fill('x')
      if (seen.length === 1) await new Promise(() => undefined)
    }
    await consuming(at, { dedup, handler })
    await at.send('a')
    await until('its second run', () => dedup.counts().completed === 1)
    expect(seen).toEqual(['a', 'a'])
  })

  test('counts the attempts of a message without a key', async () => {
    const at = await place(url)
    const dedup = deduplicator({ attemptsMax: 3 })
    const attempts: number[] = []
    const handler = (_: object, { attempt }: { attempt: number }): never => {
      attempts.push(attempt)
      throw new Error('always')
    }
    const key = messageKeys({ without: 'none' })
    await consuming(at, { dedup, handler, key, producer: await at.producer() })
    await at.send('a', {})
    const parked = await at.started(`${at.topic}_parked`)
    const copy = await nextOf(parked)
    expect(attempts).toEqual([1, 2, 3])
    expect(copy.properties.get('oncemq-attempts')).toBe('3')
    await parked.ack(copy)
  })

  test('counts a middleware that throws as a failed attempt', async () => {
    const at = await place(url)
    const dedup = deduplicator({ attemptsMax: 2 })
    let calls = 0
    const middleware = async (): Promise<never> => {
      calls += 1
      throw new Error('no')
    }
    await consuming(at, {
      dedup,
      handler: () => undefined,
      middlewares: [middleware],
      producer: await at.producer(),
    })
    await at.send('a')
    const parked = await at.started(`${at.topic}_parked`)
    await parked.ack(await nextOf(parked))
    expect(calls).toBe(2)
  })

  test.each(['handler', 'middleware', 'key'])('a %s may throw what cannot be looked at', async (who) => {
    const at = await place(url)
    const dedup = deduplicator({ attemptsMax: 2 })
    const throwing = (): never => {
      const { proxy, revoke } = Proxy.revocable({}, {})
      revoke()
      throw proxy as Error
    }
    await consuming(at, {
      dedup,
      handler: who === 'handler' ? throwing : () => undefined,
      ...(who === 'key' && { key: throwing }),
      middlewares: who === 'middleware' ? [throwing] : [],
      producer: await at.producer(),
    })
    await at.send('a')
    const parked = await at.started(`${at.topic}_parked`)
    const { properties } = await nextOf(parked)
    expect(properties.get('oncemq-attempts')).toBe(who === 'key' ? '0' : '2')
  })

  test('takes an answer that nobody could write down for a success', async () => {
    const at = await place(url)
    const dedup = deduplicator()
    await consuming(at, { dedup, handler: () => ({ id: 10n }) })
    await at.send('a')
    await until('the end', () => dedup.counts().completed === 1)
    expect(dedup.counts()).toMatchObject({ failed: 0, granted: 1 })
  })

  test('holds what the store refuses, asks ever more slowly, and says it once', async () => {
    const at = await place(url)
    const store = new FaultyStore()
    const dedup = deduplicator({ store })
    const warnings: string[] = []
    dedup.on('warning', ({ message }) => warnings.push(message))
    const attempts: (number | undefined)[] = []
    await dedup.open()
    store.fault = 'refused'
    await consuming(at, { dedup, handler: ({ deliveryAttempt }) => void attempts.push(deliveryAttempt) })
    await at.send('a')
    await until('the first refusal', () => store.refusals > 0)
    await quiet(REFUSED_MS)
    // After one second, two, four ...
    expect(store.refusals).toBeLessThan(8)
    store.fault = undefined
    await until('the end', () => dedup.counts().completed === 1)
    expect(attempts).toEqual([1])
    expect(warnings.filter((each) => each.includes('refuses'))).toHaveLength(1)
  })

  test('tells that its deduplicator was closed, ends, and gives the message to others', async () => {
    const at = await place(url)
    const dedup = deduplicator()
    const ends: string[] = []
    await consuming(at, { dedup, handler: () => undefined, onEnd: ({ code }) => ends.push(code) })
    await dedup.close()
    await at.send('a')
    await until('the end', () => ends.length > 0)
    expect(ends).toEqual(['ONCEMQ_CLOSED'])
    const other = await at.started()
    const message = await nextOf(other)
    expect(message.body.toString()).toBe('a')
    await other.ack(message)
  })

  test('goes on with other message groups when one fails, though many of it wait', async () => {
    const at = await place(url, 'FIFO')
    const dedup = deduplicator()
    const done = new Set<string>()
    const handler = ({ messageGroup = '' }: RocketmqMessage): void => {
      if (messageGroup === 'bad') throw new Error('always')
      done.add(messageGroup)
    }
    for (let count = 0; count < 16; count += 1) await sendTo(at, 'bad', `bad${count}`)
    await consuming(at, { dedup, handler, concurrency: 4, retry: { firstMs: 60_000 } })
    await until('the failure', () => dedup.counts().failed > 0)
    for (let group = 0; group < 16; group += 1) await sendTo(at, `good${group}`, `good${group}`)
    // The server itself keeps back those of the same queue, one of four.
    await until('other groups', () => done.size >= 8)
    expect(dedup.counts().failed).toBe(1)
  })

  test(
    'keeps the order, and runs nothing again, while a message cannot be parked',
    { timeout: LONG_MS },
    async () => {
      const at = await place(url, 'FIFO')
      const dedup = deduplicator({ attemptsMax: 2 })
      const seen: string[] = []
      const handler = ({ body }: RocketmqMessage): void => {
        seen.push(body.toString())
        if (body.toString() === 'a') throw new Error('always')
      }
      const producer = await at.producer()
      let refusals = 0
      const refusing = {
        async send(message: Parameters<typeof producer.send>[0]) {
          if (++refusals <= 2) throw new Error('no right to write')
          return producer.send(message)
        },
      }
      for (const body of ['a', 'b']) await sendTo(at, 'x', body)
      await consuming(at, { dedup, handler, producer: refusing })
      await until('the first refusal', () => refusals === 1)
      await until('b', () => dedup.counts().completed === 1)
      expect(refusals).toBe(3)
      expect(seen).toEqual(['a', 'a', 'b'])
    },
  )
})

async function sendTo(at: Place, messageGroup: string, body: string): Promise<void> {
  await at.send(body, { keys: [body], messageGroup })
}
