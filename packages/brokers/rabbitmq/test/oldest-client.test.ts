import { describeService } from '@oncemq/test-services/vitest'
import type * as amqplib from 'amqplib'
// @ts-expect-error a package without types
import * as untyped from 'amqplib-0-10-0'
import { expect, onTestFinished, test } from 'vitest'
import { dedupChannel } from '../src/index.ts'
import { consuming, deduplicator, newQueue, quiet, readyIn, until } from './set-up.ts'

const oldest = untyped as unknown as typeof amqplib

async function connected(url: string): Promise<amqplib.ChannelModel> {
  const connection = await oldest.connect(url)
  connection.on('error', () => undefined)
  onTestFinished(() => connection.close().catch(() => undefined))
  return connection
}

describeService('rabbitmq-4.0', ({ url }) => {
  test('with the oldest amqplib of its range a handler runs once, and again when it throws', async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection)
    const attempts: number[] = []
    const consumer = await consuming({
      connection,
      queue,
      dedup: deduplicator(),
      retry: { firstMs: 50 },
      handler: (_message, { attempt }) => {
        attempts.push(attempt)
        if (attempt < 2) throw new Error('not yet')
      },
    })
    for (const id of ['a', 'a']) await send(id)
    await until('two attempts', () => attempts.length === 2)
    await quiet()
    expect(attempts).toEqual([1, 2])
    await consumer.close()
    expect(await readyIn(connection, queue)).toBe(0)
  })

  test('so does one on a wrapped channel', async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection)
    const channel = dedupChannel(await connection.createChannel(), deduplicator())
    const seen: string[] = []
    await channel.prefetch(10)
    await channel.consume(queue, (message) => {
      if (message === null) return
      seen.push(message.content.toString())
      channel.ack(message)
    })
    for (const id of ['a', 'a', 'b']) await send(id)
    await until('both', () => seen.length === 2)
    await quiet()
    expect(seen).toEqual(['a', 'b'])
    await channel.close()
    expect(await readyIn(connection, queue)).toBe(0)
  })
})
