import type { Channel, ChannelModel } from 'amqplib'
import { timed } from './measure.ts'
import type { Run, Watched } from './measure.ts'

const PUBLISH_CHUNK = 1000

/** Where a consumer works: a channel with its prefetch set, and a queue that is full. */
export interface Place {
  readonly channel: Channel
  readonly queue: string
  readonly prefetch: number
}

/**
 * A way to consume: settles each message by itself, tells when it did, and answers how to close with all acks
 * sent.
 */
export type Consume = (place: Place, settled: () => void) => Promise<() => Promise<void>>

export interface RunOptions {
  readonly connection: ChannelModel
  readonly prefetch: number
  readonly messages: number
  readonly watched: Watched
  /** Called with the ids of the messages before they are consumed, outside of the measured time. */
  readonly prepare?: (ids: readonly string[]) => Promise<void>
}

let series = 0

/** Fills a queue, then times how long it takes to empty: until the broker has every ack. */
export async function consumed(
  consume: Consume,
  { connection, prefetch, messages, watched, prepare }: RunOptions,
): Promise<Run> {
  series += 1
  const queue = `oncemq-bench-${process.pid}-${series}`
  const ids = Array.from({ length: messages }, (_, number) => `${queue}-${number}`)
  await fill(connection, queue, ids)
  await prepare?.(ids)
  const channel = await connection.createChannel()
  await channel.prefetch(prefetch)
  const run = await timed(async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    let left = messages
    const close = await consume({ channel, queue, prefetch }, () => {
      left -= 1
      if (left === 0) resolve()
    })
    await promise
    await close()
    return messages
  }, watched)
  await assertEmpty(connection, queue)
  return run
}

async function fill(connection: ChannelModel, queue: string, ids: readonly string[]): Promise<void> {
  const channel = await connection.createConfirmChannel()
  await channel.assertQueue(queue, { durable: false })
  const body = Buffer.from(JSON.stringify({ account: 'a-1', cents: 1999 }))
  for (const [index, messageId] of ids.entries()) {
    channel.sendToQueue(queue, body, { messageId })
    if (index % PUBLISH_CHUNK === PUBLISH_CHUNK - 1) await channel.waitForConfirms()
  }
  await channel.waitForConfirms()
  await channel.close()
}

/** A run that left a message behind measured something else. */
async function assertEmpty(connection: ChannelModel, queue: string): Promise<void> {
  const channel = await connection.createChannel()
  const { messageCount } = await channel.deleteQueue(queue)
  await channel.close()
  if (messageCount > 0)
    throw new Error(`expected an empty queue after the run, received ${messageCount} messages`)
}
