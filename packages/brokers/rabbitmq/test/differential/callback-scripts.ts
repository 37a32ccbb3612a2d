import type { ConfirmChannel, GetMessage, Message, Replies } from 'amqplib/callback_api'
import { answered, until } from '../set-up.ts'

/** As for promises, with a confirm channel of the callback API. */
export interface CallbackStage {
  readonly channel: ConfirmChannel
  /** A queue with the messages `m1` ... `m5`. */
  readonly queue: string
  readonly saw: (...what: unknown[]) => void
  readonly seen: readonly unknown[][]
}

type Answer<Value> = (error: unknown, value: Value) => void

function attempt({ channel, saw }: CallbackStage, what: string, call: () => unknown): void {
  try {
    const answer = call()
    saw(what, answer === channel ? 'the channel' : (answer ?? 'nothing'))
  } catch (error) {
    saw(what, 'threw', error instanceof Error ? `${error.name}: ${error.message}` : typeof error)
  }
}

export const callbackScripts: Record<string, (stage: CallbackStage) => Promise<void>> = {
  async 'answers its channel'(stage) {
    const { channel, queue, saw } = stage
    const messages: Message[] = []
    const keep = (message: Message | null): void => void (message && messages.push(message))
    attempt(stage, 'prefetch', () => channel.prefetch(10))
    attempt(stage, 'assertQueue', () => channel.assertQueue('', { exclusive: true }))
    attempt(stage, 'checkQueue', () => channel.checkQueue(queue))
    attempt(stage, 'consume', () => channel.consume(queue, keep, { consumerTag: 'mine' }))
    await until('five', () => messages.length === 5)
    const [first, second, third] = messages as [Message, Message, Message]
    attempt(stage, 'ack', () => channel.ack(first))
    attempt(stage, 'nack', () => channel.nack(second, false, false))
    attempt(stage, 'reject', () => channel.reject(third, false))
    attempt(stage, 'ackAll', () => channel.ackAll())
    attempt(stage, 'nackAll', () => channel.nackAll())
    attempt(stage, 'recover', () => channel.recover())
    attempt(stage, 'cancel', () => channel.cancel('mine'))
    attempt(stage, 'publish', () => channel.publish('', queue, Buffer.from('x'), {}, () => undefined))
    attempt(stage, 'sendToQueue', () => channel.sendToQueue(queue, Buffer.from('x')))
    await answered((done) => channel.waitForConfirms(done as (error: unknown) => void))
    saw('confirmed')
    attempt(stage, 'close', () => channel.close(() => saw('closed')))
    await until('closed', () => stage.seen.some(([what]) => what === 'closed'))
  },

  async 'answers by callbacks'({ channel, queue, saw }) {
    saw(await answered((done: Answer<Replies.AssertQueue>) => channel.checkQueue(queue, done)))
    const message = await answered((done: Answer<GetMessage | false>) => channel.get(queue, {}, done))
    saw(message && message.content.toString())
    if (message) channel.ack(message)
    const messages: Message[] = []
    const keep = (each: Message | null): void => void (each && messages.push(each))
    saw(await answered((done) => channel.prefetch(2, false, done)))
    saw(await answered((done) => channel.consume('', keep, { consumerTag: 'mine' }, done)))
    await until('two', () => messages.length === 2)
    channel.ack(messages[1] as Message, true)
    await until('four', () => messages.length === 4)
    saw(await answered((done) => channel.cancel('mine', done)))
    saw(messages.map(({ content, fields }) => [content.toString(), fields.deliveryTag]))
  },

  async 'fails by callbacks, and throws when it is closed'(stage) {
    const { channel, queue, saw } = stage
    // The wrapped channel's callback comes a little later, after the events.
    const told: string[] = []
    channel.on('error', (error: Error) => told.push(`error ${error.message}`))
    channel.on('close', () => told.push('close'))
    const done = (error: unknown, ok: unknown): void =>
      void told.push(`consume ${String(error)} ${String(ok)}`)
    channel.consume('no such queue', () => undefined, {}, done)
    await until('all three', () => told.length === 3)
    saw(told.toSorted())
    const message = { fields: { deliveryTag: 1 } } as Message
    const none = (): void => undefined
    attempt(stage, 'consume', () => channel.consume(queue, none, {}, none))
    attempt(stage, 'cancel', () => channel.cancel('mine', none))
    attempt(stage, 'get', () => channel.get(queue, {}, none))
    attempt(stage, 'assertQueue', () => channel.assertQueue(queue, {}, none))
    attempt(stage, 'prefetch', () => channel.prefetch(3))
    attempt(stage, 'publish', () => channel.publish('', queue, Buffer.from('x')))
    attempt(stage, 'ack', () => channel.ack(message))
    attempt(stage, 'ackAll', () => channel.ackAll())
    attempt(stage, 'nack', () => channel.nack(message))
    attempt(stage, 'nackAll', () => channel.nackAll())
    attempt(stage, 'reject', () => channel.reject(message))
    attempt(stage, 'recover', () => channel.recover(none))
    attempt(stage, 'close', () => channel.close(none))
  },
}
