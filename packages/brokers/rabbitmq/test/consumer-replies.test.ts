// Kept replies go to those who sent the same payload, whatever address a sender names.
import { describeService } from '@oncemq/test-services/vitest'
import { describe, expect, test } from 'vitest'
import type { AmqpMessage } from '../src/index.ts'
import { connected, consuming, deduplicator, newQueue, quiet, readyIn, taken, until } from './set-up.ts'

describe.each(['rabbitmq-4.0', 'rabbitmq-3.10'] as const)('replies', (name) => {
  describeService(name, ({ url }) => {
    /** A consumer with kept replies, and two senders, each with its own address. */
    async function setUp(
      options: Parameters<typeof deduplicator>[0] = {},
      payload?: (message: AmqpMessage) => Uint8Array,
      errorReply?: (message: AmqpMessage, error: unknown) => string,
    ) {
      const connection = await connected(url)
      const { queue, send, channel } = await newQueue(connection)
      const addresses: Record<string, string> = {}
      const replies: string[] = []
      for (const who of ['owner', 'impostor']) {
        addresses[who] = (await channel.assertQueue('', { exclusive: true })).queue
        const hear = (content: string): void => void replies.push(`${who}: ${content}`)
        await channel.consume(addresses[who], (message) => message && hear(message.content.toString()), {
          noAck: true,
        })
      }
      const runs: string[] = []
      let go = (): void => undefined
      const mayGo = new Promise<void>((resolve) => (go = resolve))
      await consuming({
        connection,
        queue,
        dedup: deduplicator(options),
        replayResult: true,
        ...(payload && { payload }),
        ...(errorReply && { errorReply }),
        retry: { firstMs: 50 },
        async handler({ content }) {
          const body = content.toString()
          runs.push(body)
          if (body.startsWith('slow')) await mayGo
          if (body.startsWith('bad')) throw new Error('always')
          return `balance of ${body}`
        },
      })
      const ask = (who: string, body: string): Promise<void> =>
        send('payment-1', body, { replyTo: addresses[who] })
      const parked = () => readyIn(connection, `${queue}.parked`)
      return { connection, queue, replies, runs, ask, parked, go }
    }

    test('another payload under a key that is done gets none, and is parked', async () => {
      const { connection, queue, replies, runs, ask, parked } = await setUp()
      await ask('owner', 'mine')
      await until('the reply', () => replies.length === 1)
      await ask('impostor', 'not mine')
      await until('parked', async () => (await parked()) === 1)
      await ask('owner', 'mine')
      await until('the reply again', () => replies.length === 2)
      await quiet()
      expect(replies).toEqual(['owner: balance of mine', 'owner: balance of mine'])
      expect(runs).toEqual(['mine'])
      const { properties } = await taken(connection, `${queue}.parked`)
      expect(properties.headers).toMatchObject({ 'x-oncemq-reason': 'conflict' })
    })

    test('what senders put around a payload is none of it, where the consumer says so', async () => {
      const { replies, runs, ask } = await setUp({}, ({ content }) => {
        const { data } = JSON.parse(content.toString()) as { data: unknown }
        return Buffer.from(JSON.stringify(data))
      })
      await ask('owner', '{"data":1,"sent":1}')
      await until('the reply', () => replies.length === 1)
      await ask('owner', '{"data":1,"sent":2}')
      await until('the same reply', () => replies.length === 2)
      expect(new Set(replies).size).toBe(1)
      expect(runs).toHaveLength(1)
      // What it cannot read is compared as it is.
      await ask('impostor', 'no JSON')
      await quiet()
      expect(replies).toHaveLength(2)
    })

    test('a request that is dead-lettered is told so, once, where the consumer says what', async () => {
      const errorReply = (_message: AmqpMessage, error: unknown): string =>
        error instanceof Error ? `failed: ${error.message}` : 'refused'
      const { replies, runs, ask, parked } = await setUp({ attemptsMax: 2 }, undefined, errorReply)
      await ask('owner', 'bad')
      await until('the reply', () => replies.length === 1)
      expect(await parked()).toBe(1)
      // Nothing of the owner's failure is told to who comes with another payload.
      await ask('impostor', 'not mine')
      await until('its reply', () => replies.length === 2)
      await quiet()
      expect(replies).toEqual(['owner: failed: always', 'impostor: refused'])
      expect(runs).toEqual(['bad', 'bad'])
    })

    test('an error reply that cannot be had keeps no message', async () => {
      const { replies, ask, parked } = await setUp({ attemptsMax: 1 }, undefined, () => {
        throw new Error('no')
      })
      await ask('owner', 'bad')
      await until('parked', async () => (await parked()) === 1)
      await ask('owner', 'mine')
      await until('parked', async () => (await parked()) === 2)
      expect(replies).toEqual([])
    })

    test('nor one under a key that runs', async () => {
      const { replies, runs, ask, parked, go } = await setUp()
      await ask('owner', 'slow')
      await until('the run', () => runs.length === 1)
      await ask('impostor', 'not mine')
      await ask('owner', 'slow')
      await quiet()
      go()
      await until('both replies', () => replies.length === 2)
      await until('parked', async () => (await parked()) === 1)
      await quiet()
      expect(replies).toEqual(['owner: balance of slow', 'owner: balance of slow'])
      expect(runs).toEqual(['slow'])
    })

    test('an impostor who came first: neither gets the answer of the other, nor its attempts', async () => {
      const { connection, queue, replies, runs, ask, parked } = await setUp({ attemptsMax: 2 })
      await ask('impostor', 'bad')
      await until('parked', async () => (await parked()) === 1)
      await ask('owner', 'mine')
      // The first payload of a key wins: who was right is for a person to say.
      await until('both parked', async () => (await parked()) === 2)
      await quiet()
      expect([runs, replies]).toEqual([['bad', 'bad'], []])
      const seen = [await taken(connection, `${queue}.parked`), await taken(connection, `${queue}.parked`)]
      expect(seen.map(({ properties }) => properties.headers)).toMatchObject([
        { 'x-oncemq-reason': 'attempts', 'x-oncemq-attempts': 2 },
        { 'x-oncemq-reason': 'conflict', 'x-oncemq-attempts': 0 },
      ])
    })
  })
})
