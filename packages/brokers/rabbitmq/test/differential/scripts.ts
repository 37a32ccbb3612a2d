import { EventEmitter } from 'node:events'
import type { Channel, ConfirmChannel, ConsumeMessage, Message } from 'amqplib'
import { quiet, until } from '../set-up.ts'

/** What a script works with. Everything that its user could see goes into `saw`. */
export interface Stage {
  readonly channel: Channel & Partial<Pick<ConfirmChannel, 'waitForConfirms'>>
  /** A queue with the messages `m1` ... `m5`. */
  readonly queue: string
  readonly saw: (...what: unknown[]) => void
  readonly seen: readonly unknown[][]
  readonly deleteQueue: () => Promise<void>
}

export type Script = (stage: Stage) => Promise<void>

/** Consumes and keeps the messages, without settling them. */
export async function collect({ channel, queue }: Stage, count: number): Promise<ConsumeMessage[]> {
  const messages: ConsumeMessage[] = []
  await channel.consume(queue, (message) => void (message !== null && messages.push(message)))
  await until(`${count} messages`, () => messages.length === count)
  return messages
}

export function nameOf(error: unknown): string {
  // amqplib 0.10 rejects a get with the bare frame of the server.
  if (!(error instanceof Error)) return JSON.stringify(error)
  return `${error.name}: ${error.message.split(';')[0]} (${(error as { code?: number }).code})`
}

export function attempt(stage: Stage, what: string, call: () => unknown): void {
  try {
    stage.saw(what, String(call()))
  } catch (error) {
    stage.saw(what, 'threw', nameOf(error))
  }
}

export async function attemptAsync(stage: Stage, what: string, call: () => Promise<unknown>): Promise<void> {
  try {
    stage.saw(what, JSON.stringify(await call()))
  } catch (error) {
    stage.saw(what, 'rejected', nameOf(error))
  }
}

/** Code that works on a bare channel; each leaves what it does not settle. */
export const scripts: Record<string, Script> = {
  async 'acks in order'(stage) {
    const { channel, queue, saw, seen } = stage
    await channel.prefetch(2)
    await channel.consume(queue, (message) => {
      if (message === null) return
      saw(
        message.content.toString(),
        message.fields.redelivered,
        message.fields.deliveryTag,
        message.fields.routingKey === queue,
      )
      saw('ack answers', channel.ack(message))
    })
    await until('all', () => seen.length === 10)
  },

  async 'acks all up to the third'(stage) {
    const messages = await collect(stage, 5)
    stage.saw(stage.channel.ack(messages[2] as Message, true))
  },

  async 'acks a copy of the message'(stage) {
    const [first] = await collect(stage, 5)
    stage.saw(stage.channel.ack({ ...first } as Message))
  },

  async 'nacks all up to the second, without requeue'(stage) {
    const messages = await collect(stage, 5)
    stage.saw(stage.channel.nack(messages[1] as Message, true, false))
  },

  async 'rejects two, one with requeue'(stage) {
    const messages = await collect(stage, 5)
    stage.saw(stage.channel.reject(messages[0] as Message, false))
    await stage.channel.cancel(messages[0]?.fields.consumerTag ?? '')
    stage.saw(stage.channel.reject(messages[1] as Message, true))
  },

  async 'acks all'(stage) {
    await collect(stage, 5)
    stage.saw(stage.channel.ackAll())
  },

  async 'nacks all without requeue'(stage) {
    await collect(stage, 5)
    stage.saw(stage.channel.nackAll(false))
  },

  async 'gets one by one'(stage) {
    const { channel, queue, saw } = stage
    for (let count = 0; count < 5; count += 1) {
      const message = await channel.get(queue)
      if (message === false) return saw('none')
      saw(message.content.toString(), message.fields.messageCount, message.fields.redelivered)
      channel.ack(message)
    }
    saw(await channel.get(queue))
    channel.on('error', (error) => saw('error', nameOf(error)))
    await attemptAsync(stage, 'get from no queue', () => channel.get('no such queue'))
  },

  async recovers({ channel, queue, saw, seen }) {
    let acks = false
    await channel.consume(queue, (message) => {
      if (message === null) return
      saw(message.content.toString(), message.fields.redelivered)
      if (acks) channel.ack(message)
    })
    await until('five', () => seen.length === 5)
    acks = true
    const answer: unknown = await channel.recover()
    await until('ten', () => seen.length === 10)
    saw(answer)
  },

  async cancels(stage) {
    const { channel, queue, saw } = stage
    const late: string[] = []
    await channel.prefetch(1)
    const { consumerTag } = await channel.consume(
      queue,
      (message) => void (message !== null && late.push(message.content.toString())),
      { consumerTag: 'mine' },
    )
    await until('one', () => late.length === 1)
    saw(consumerTag, await channel.cancel(consumerTag))
    channel.nackAll(true)
    await quiet()
    saw(late)
  },

  async 'uses a closed channel'(stage) {
    const { channel, saw } = stage
    const [first, second] = await collect(stage, 5)
    channel.ack(first as Message)
    channel.on('close', () => saw('close'))
    saw('closing answers', await channel.close())
    attempt(stage, 'ack', () => channel.ack(second as Message))
    attempt(stage, 'ackAll', () => channel.ackAll())
    attempt(stage, 'nack', () => channel.nack(second as Message))
    attempt(stage, 'nackAll', () => channel.nackAll())
    attempt(stage, 'reject', () => channel.reject(second as Message))
    await attemptAsync(stage, 'cancel', () => channel.cancel(second?.fields.consumerTag ?? ''))
    await attemptAsync(stage, 'recover', async () => channel.recover())
    await attemptAsync(stage, 'consume', async () => channel.consume(stage.queue, () => undefined))
    await attemptAsync(stage, 'get', async () => channel.get(stage.queue))
    await attemptAsync(stage, 'close', async () => channel.close())
  },

  async 'throws in the callback'({ channel, queue, saw, seen }) {
    channel.on('error', (error) => saw('error', nameOf(error)))
    channel.on('close', () => saw('close'))
    await channel.prefetch(1)
    await channel.consume(queue, (message) => {
      saw(message?.content.toString())
      throw new RangeError('mine')
    })
    await until('close', () => seen.some(([what]) => what === 'close'))
  },

  async 'throws what is no error'({ channel, queue, saw, seen }) {
    channel.on('error', (error) => saw('error', nameOf(error)))
    channel.on('close', () => saw('close'))
    await channel.prefetch(1)
    await channel.consume(queue, () => {
      // oxlint-disable-next-line typescript/only-throw-error -- users do
      throw 42
    })
    await until('close', () => seen.some(([what]) => what === 'close'))
  },

  async 'rejects its promise'({ channel, queue, saw, seen }) {
    const others = process.rawListeners('unhandledRejection')
    process.removeAllListeners('unhandledRejection')
    process.on('unhandledRejection', (reason) => saw('unhandled', nameOf(reason)))
    try {
      await channel.prefetch(1)
      // oxlint-disable-next-line typescript/no-misused-promises -- users do
      await channel.consume(queue, async (message) => {
        saw(message?.content.toString())
        await Promise.reject(new RangeError('mine'))
      })
      await until('the rejection', () => seen.length === 2)
      await quiet(100)
    } finally {
      process.removeAllListeners('unhandledRejection')
      for (const each of others) process.on('unhandledRejection', each as NodeJS.UnhandledRejectionListener)
    }
  },

  async 'loses its queue'({ channel, queue, saw, seen, deleteQueue }) {
    await channel.consume(queue, (message) =>
      saw(message === null ? 'cancelled' : message.content.toString()),
    )
    await until('five', () => seen.length === 5)
    await deleteQueue()
    await until('null', () => seen.length === 6)
    channel.ackAll()
    saw(await channel.prefetch(1))
  },

  async 'consumes no queue'(stage) {
    const { channel, saw, seen } = stage
    channel.on('error', (error) => saw('error', nameOf(error)))
    channel.on('close', () => saw('close'))
    await attemptAsync(stage, 'consume', () => channel.consume('no such queue', () => undefined))
    await until('close', () => seen.some(([what]) => what === 'close'))
  },

  async 'settles what is no message'(stage) {
    const { channel } = stage
    attempt(stage, 'ack', () => channel.ack(undefined as never))
    attempt(stage, 'nack', () => channel.nack({} as never))
  },

  async 'calls the rest'(stage) {
    const { channel, queue, saw } = stage
    saw(channel instanceof EventEmitter, channel.constructor.name, typeof channel.connection)
    saw(channel.once('error', () => undefined) === channel, channel.removeAllListeners('error') === channel)
    saw(Object.keys(channel).toSorted(), 'prefetch' in channel, 'nothing' in channel)
    saw(await channel.prefetch(3), await channel.checkQueue(queue))
    saw(
      channel.sendToQueue(queue, Buffer.from('m6'), { messageId: 'm6' }),
      channel.publish('', queue, Buffer.from('m7')),
    )
    await channel.waitForConfirms?.()
    saw(
      (await channel.assertQueue('', { exclusive: true })).messageCount,
      (await channel.purgeQueue(queue)).messageCount,
    )
  },
}
