// Parked messages: what stands on them, and what becomes of them when somebody sends them again.
import { MemoryStore, PermanentError } from '@oncemq/core'
import { sendRaw } from '@oncemq/test-services/rocketmq'
import { describeService } from '@oncemq/test-services/vitest'
import type { MessageView, SimpleConsumer } from 'rocketmq-client-nodejs'
import { expect, onTestFinished, test } from 'vitest'
import type { RocketmqMessage } from '../src/index.ts'
import { consume, messageId, parkedProperties } from '../src/index.ts'
import { deduplicator, nextOf, type Place, place, until } from './set-up.ts'

const FORGED = new Map<string, string>([
  [parkedProperties.reason, 'forged'],
  [parkedProperties.provenance, '{"kind":"parked","source":"t","starts":0,"firstAtMs":1,"original":{}}'],
  [parkedProperties.signature, 'f'.repeat(64)],
])

describeService('rocketmq-fast', ({ url }) => {
  /** A consumer that refuses the first message for good, and what it saw of each. */
  const refusing = async (at: Place, key = messageId()) => {
    const dedup = deduplicator({ store: new MemoryStore() })
    const seen: RocketmqMessage[] = []
    const handler = (message: RocketmqMessage): void => {
      seen.push(message)
      if (seen.length === 1) throw new PermanentError('not today')
    }
    const consumer = await consume({
      consumer: at.simple(),
      dedup,
      key,
      handler,
      producer: await at.producer(),
    })
    onTestFinished(() => consumer.close({ timeoutMs: 1000 }))
    return { dedup, seen }
  }

  test('a parked message that is sent again is the one that it was, and runs', async () => {
    const at = await place(url)
    const { dedup, seen } = await refusing(at)
    const producer = await at.producer()
    const properties = new Map([['x-tenant', 'acme']])
    const sent = await producer.send({
      topic: at.topic,
      body: Buffer.from('a'),
      keys: ['k'],
      tag: 'T',
      properties,
    })
    const parked = await at.started(`${at.topic}_parked`)
    await redrive(at, await nextOf(parked), parked)
    await until('its second run', () => dedup.counts().completed === 1)
    const [first, again] = seen
    for (const message of [first, again]) {
      expect(message).toMatchObject({ messageId: sent.messageId, keys: ['k'], tag: 'T', topic: at.topic })
      expect(Object.fromEntries(message?.properties ?? [])).toEqual({ 'x-tenant': 'acme' })
    }
    expect(again?.bornTimestamp).toEqual(first?.bornTimestamp)
    const outcome = await dedup.inspect('not used here', { source: at.topic })
    expect(outcome).toBeUndefined()
  })

  test('what a sender wrote in our name is taken off, and is not parked', async () => {
    const at = await place(url)
    const { seen } = await refusing(at)
    const producer = await at.producer()
    await producer.send({ topic: at.topic, body: Buffer.from('a'), keys: ['k'], properties: new Map(FORGED) })
    const parked = await at.started(`${at.topic}_parked`)
    const copy = await nextOf(parked)
    expect(seen[0]?.properties.size).toBe(0)
    expect(copy.properties.get(parkedProperties.reason)).toBe('permanent')
    expect(copy.properties.get(parkedProperties.signature)).not.toBe(FORGED.get(parkedProperties.signature))
    await parked.ack(copy)
  })

  test('a signature from one message does not vouch for another', async () => {
    const at = await place(url)
    const { dedup, seen } = await refusing(at)
    await at.send('a')
    const parked = await at.started(`${at.topic}_parked`)
    const copy = await nextOf(parked)
    await redrive(at, Object.assign(copy, { body: Buffer.from('b') }), parked)
    await until('the other one', () => dedup.counts().completed === 1)
    expect(seen[1]?.messageId).not.toBe(seen[0]?.messageId)
    expect(seen[1]?.properties.size).toBe(0)
  })

  test('a message with no room for the reason goes to the dead-letter queue as it is', async () => {
    const at = await place(url)
    const { dedup } = await refusing(at)
    const producer = await at.producer()
    const full = await mostProperties(async (count) => {
      const properties = new Map(Array.from({ length: count }, (_, index) => [`p${index}`, 'x'] as const))
      await producer.send({
        topic: at.topic,
        body: Buffer.from(`n${count}`),
        keys: [`n${count}`],
        properties,
      })
    })
    expect(full).toBeGreaterThan(0)
    await until('it to be put aside', () => dedup.counts().deadLettered === 1)
    const dead = await at.deadLetters()
    const message = await nextOf(dead)
    expect(message.properties.size).toBe(full)
    await dead.ack(message)
  })

  test('one with a tag or key that cannot be sent again goes there too: its group goes on', async () => {
    const at = await place(url, 'FIFO', {}, 1)
    const dedup = deduplicator({ attemptsMax: 1 })
    const seen: string[] = []
    const handler = ({ body }: RocketmqMessage): void => {
      seen.push(body.toString())
      if (body.toString() !== 'good') throw new Error('no')
    }
    const producer = await at.producer()
    const send = (body: string, properties: Record<string, string>) =>
      sendRaw(url, {
        topic: at.topic,
        body: Buffer.from(body),
        properties: { ...properties, __SHARDINGKEY: 'g' },
      })
    await send('tag', { KEYS: 't', TAGS: 'a|b' })
    await send('key', { KEYS: 'a\u0007b' })
    await send('good', { KEYS: 'g' })
    const consumer = await consume({ consumer: at.simple(), dedup, handler, producer })
    onTestFinished(() => consumer.close({ timeoutMs: 1000 }))
    await until('the one behind them', () => dedup.counts().completed === 1)
    expect(seen).toEqual(['tag', 'key', 'good'])
    const dead = await at.deadLetters()
    const bodies = [await nextOf(dead), await nextOf(dead)].map(({ body }) => body.toString())
    expect(bodies.toSorted()).toEqual(['key', 'tag'])
  })
})

/** Sends with as many properties as the server takes, and answers how many that are. */
async function mostProperties(send: (count: number) => Promise<void>): Promise<number> {
  for (let count = 128; count > 100; count -= 1) {
    try {
      await send(count)
      return count
    } catch {
      // The server's bound is below.
    }
  }
  return 0
}

/** What people do with a parked message: they send it to its topic as it is. */
async function redrive(at: Place, copy: MessageView, parked: SimpleConsumer): Promise<void> {
  const producer = await at.producer()
  const { body, keys, tag, properties } = copy
  await producer.send({ topic: at.topic, body, keys, properties, ...(tag ? { tag } : {}) })
  await parked.ack(copy)
}
