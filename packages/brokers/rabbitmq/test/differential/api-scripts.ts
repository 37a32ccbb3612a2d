import type { Message } from 'amqplib'
import { quiet, until } from '../set-up.ts'
import type { Script, Stage } from './scripts.ts'
import { attempt, attemptAsync, collect, nameOf } from './scripts.ts'

/** Tells what becomes of the channel. */
function listen({ channel, saw }: Stage): void {
  channel.on('error', (error) => saw('error', nameOf(error)))
  channel.on('close', () => saw('close'))
}

async function closed({ seen }: Stage): Promise<void> {
  await until('close', () => seen.some(([what]) => what === 'close'))
}

/** Every other method of a channel, as its documentation has them. */
export const apiScripts: Record<string, Script> = {
  async 'declares, checks, binds, unbinds, purges and deletes'({ channel, queue, saw }) {
    const [one, two] = [`${queue}-one`, `${queue}-two`]
    saw(await channel.assertExchange(one, 'topic', { autoDelete: true }), await channel.checkExchange(one))
    saw(await channel.assertExchange(two, 'fanout'), await channel.bindExchange(two, one, 'a.#'))
    saw(await channel.assertQueue(queue, { arguments: { 'x-queue-type': 'classic' } }))
    saw(await channel.bindQueue(queue, two, ''), await channel.checkQueue(queue))
    saw(channel.publish(one, 'a.b', Buffer.from('through both'), { messageId: 'm6' }))
    await until('it', async () => (await channel.checkQueue(queue)).messageCount === 6)
    saw(await channel.unbindQueue(queue, two, ''), await channel.unbindExchange(two, one, 'a.#'))
    saw(await channel.purgeQueue(queue), await channel.deleteQueue(queue, { ifEmpty: true, ifUnused: true }))
    saw(await channel.deleteExchange(one), await channel.deleteExchange(two, { ifUnused: true }))
  },

  async 'checks what is not there'(stage) {
    listen(stage)
    await attemptAsync(stage, 'checkQueue', () => stage.channel.checkQueue('no such queue'))
    await closed(stage)
    await attemptAsync(stage, 'after', () => stage.channel.checkQueue(stage.queue))
  },

  async 'declares with other arguments'(stage) {
    listen(stage)
    const other = stage.channel.assertQueue(stage.queue, { durable: false })
    // Asked for before the refusal is there, and ended by it.
    const next = attemptAsync(stage, 'next', () => stage.channel.assertQueue('', { exclusive: true }))
    await attemptAsync(stage, 'assertQueue', () => other)
    await next
    await closed(stage)
  },

  async 'publishes what nobody takes, and has it returned'({ channel, saw, seen }) {
    channel.on('return', ({ content, fields, properties }) => {
      const { replyCode, replyText } = fields as { replyCode?: number; replyText?: string }
      saw('return', content.toString(), replyCode, replyText, properties.headers, properties.messageId)
    })
    const options = { mandatory: true, messageId: 'm', headers: { mine: 1 } }
    saw(channel.publish('', 'no such queue', Buffer.from('lost'), options))
    saw(channel.sendToQueue('no such queue', Buffer.from('lost too'), options))
    await until('both', () => seen.length === 4)
  },

  async 'publishes to no exchange'(stage) {
    listen(stage)
    stage.saw(stage.channel.publish('no such exchange', '', Buffer.from('lost')))
    await closed(stage)
    attempt(stage, 'publish', () => stage.channel.publish('', stage.queue, Buffer.from('late')))
    await attemptAsync(stage, 'waitForConfirms', async () => stage.channel.waitForConfirms?.())
  },

  async 'publishes what cannot be'(stage) {
    const { channel, queue } = stage
    attempt(stage, 'text', () => channel.sendToQueue(queue, 'text' as never))
    attempt(stage, 'nothing', () => channel.sendToQueue(queue, undefined as never))
    attempt(stage, 'key', () => channel.publish('', 7 as never, Buffer.from('x')))
    attempt(stage, 'headers', () =>
      channel.publish('', queue, Buffer.from('x'), { headers: { no: () => undefined } }),
    )
    attempt(stage, 'null', () => channel.publish('', queue, Buffer.from('x'), null as never))
  },

  async 'publishes until the buffer is full, and drains'({ channel, queue, saw }) {
    const drained = new Promise((resolve) => channel.once('drain', () => resolve('drained')))
    let isTaken = true
    for (let count = 0; isTaken && count < 10_000; count += 1)
      isTaken = channel.sendToQueue(queue, Buffer.alloc(60_000))
    saw(isTaken, await drained)
    await channel.purgeQueue(queue)
  },

  async 'hears of confirms'({ channel, queue, saw, seen }) {
    if (channel.waitForConfirms === undefined) return
    const confirm = channel as unknown as { sendToQueue(...args: unknown[]): unknown }
    saw(confirm.sendToQueue(queue, Buffer.from('x'), {}, (error: unknown) => saw('confirmed', error)))
    saw(confirm.sendToQueue(queue, Buffer.from('y'), undefined, (error: unknown) => saw('again', error)))
    await until('both', () => seen.length === 4)
    channel.publish('', queue, Buffer.from('z'))
    saw(await channel.waitForConfirms())
  },

  async 'acks a tag that was never delivered'(stage) {
    listen(stage)
    await collect(stage, 5)
    stage.channel.ack({ fields: { deliveryTag: 99 } } as Message)
    await closed(stage)
  },

  async 'consumes exclusively, with a tag, a priority and arguments'(stage) {
    const { channel, queue, saw } = stage
    listen(stage)
    const options = { exclusive: true, consumerTag: 'mine', priority: 3, arguments: { mine: 1 } }
    saw(await channel.consume(queue, () => undefined, options))
    await attemptAsync(stage, 'second', () => channel.consume(queue, () => undefined))
    await closed(stage)
  },

  async 'consumes a queue that it has not declared, by no name'(stage) {
    listen(stage)
    await attemptAsync(stage, 'consume', () => stage.channel.consume('', () => undefined))
    await closed(stage)
  },

  async 'gets from a queue that it has not declared, by no name'(stage) {
    listen(stage)
    await attemptAsync(stage, 'get', () => stage.channel.get(''))
    await closed(stage)
  },

  async 'cancels what is not there, and consumes again'(stage) {
    const { channel, queue, saw } = stage
    saw(await channel.cancel('no such tag'))
    await channel.prefetch(2)
    const first: string[] = []
    const seen = (message: Message | null): void => void first.push(String(message?.content))
    const { consumerTag } = await channel.consume(queue, seen, { consumerTag: 'one' })
    await until('two', () => first.length === 2)
    saw(first, await channel.cancel(consumerTag))
    const second: Message[] = []
    await channel.consume(queue, (message) => void (message && second.push(message)), { consumerTag: 'one' })
    await until('two more', () => second.length === 2)
    saw(second.map(({ content, fields }) => [content.toString(), fields.deliveryTag, fields.consumerTag]))
    channel.ack(second[1] as Message, true)
    await until('the last', () => second.length === 3)
    await quiet(50)
  },

  async 'shares a prefetch between its consumers'({ channel, queue, saw }) {
    saw(await channel.prefetch(3, true))
    const messages: Message[] = []
    for (let count = 0; count < 2; count += 1)
      await channel.consume(queue, (message) => void (message && messages.push(message)))
    await until('three', () => messages.length === 3)
    await quiet(50)
    saw(messages.length)
    channel.ackAll()
    await until('all', () => messages.length === 5)
  },

  async "means the last declared queue by ''"({ channel, queue, saw }) {
    await channel.assertQueue(queue, { arguments: { 'x-queue-type': 'classic' } })
    const message = await channel.get('')
    saw(message && message.content.toString())
    void channel.assertQueue('', { exclusive: true })
    saw(await channel.get(''))
    await channel.checkQueue(queue)
    const seen: string[] = []
    await channel.consume('', (each) => void (each && seen.push(each.content.toString())))
    await until('four', () => seen.length === 4)
    saw(seen)
  },

  async 'is an emitter'({ channel, saw }) {
    const heard: unknown[] = []
    const listener = (...what: unknown[]): void => void heard.push(what)
    saw(channel.on('mine', listener) === channel, channel.prependListener('mine', listener) === channel)
    saw(channel.emit('mine', 1, 2), channel.listenerCount('mine'), channel.listeners('mine').length)
    saw(channel.off('mine', listener) === channel, channel.setMaxListeners(20) === channel)
    channel.once('mine', function (this: unknown) {
      // amqplib's own listeners see the raw channel, as those of users do.
      heard.push(typeof this)
    })
    channel.emit('mine')
    saw(heard, channel.eventNames().map(String), channel.getMaxListeners())
  },
}
