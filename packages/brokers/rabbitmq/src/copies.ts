import type { AmqpMessage, AmqpProperties, RawChannel } from './amqp.ts'
import { answerOf } from './amqp.ts'
import type { ConfirmChannel, OpenConfirmChannel } from './confirm-channel.ts'

/** The broker's codes for access refused and precondition failed. */
const TAKEN_AS_IT_IS = new Set<unknown>([403, 406])

/** Marks a copy while it is on its way, to know it again when the broker returns it. */
export const COPY_HEADER = 'x-oncemq-copy'

/**
 * Sends copies of messages to queues of our own, and answers when the broker has them. One confirm channel,
 * opened when the first copy is due and again after it was closed.
 */
export class Copies {
  readonly #open: OpenConfirmChannel
  readonly #declared = new Map<string, Promise<void>>()
  readonly #returned = new Set<string>()
  #channel: Promise<ConfirmChannel> | undefined
  #opened: ConfirmChannel | undefined
  #count = 0

  constructor(open: OpenConfirmChannel) {
    this.#open = open
  }

  /**
   * Declares a queue once per channel. One that exists with other arguments, or that we may not declare, is
   * taken as it is: whether it takes the copy shows when it is sent. The broker answers that declaration by
   * closing the channel, which would fail a second one on its way; so those who ask meanwhile wait for it.
   */
  async declare(queue: string, options: object): Promise<void> {
    const { channel } = await this.#ready()
    const declared = this.#declared.get(queue) ?? this.#declare(channel, queue, options)
    this.#declared.set(queue, declared)
    await declared
  }

  async #declare(channel: RawChannel, queue: string, options: object): Promise<void> {
    try {
      await answerOf((done) => channel.assertQueue(queue, options, done))
    } catch (error) {
      if (!TAKEN_AS_IT_IS.has((error as { code?: unknown }).code)) {
        this.forget(queue)
        throw error
      }
      // The end of the channel has forgotten it.
      this.#declared.set(queue, Promise.resolve())
    }
  }

  /** Declares it again before the next copy: an unused queue of limited life must not end under a copy. */
  forget(queue: string): void {
    this.#declared.delete(queue)
  }

  /** Sends a copy with these headers added. Rejects unless the broker confirmed that the queue has it. */
  async send(queue: string, message: AmqpMessage, headers: Readonly<Record<string, unknown>>): Promise<void> {
    const id = String(++this.#count)
    const options = {
      ...copiedProperties(message.properties, { ...headers, [COPY_HEADER]: id }),
      mandatory: true,
    }
    await this.publish(queue, message.content, options)
    if (!this.#returned.delete(id)) return
    this.forget(queue)
    throw new Error('no queue took the copy of a message: it was deleted, or may not be declared')
  }

  /** Publishes to a queue; resolves when the broker has confirmed it. */
  async publish(queue: string, content: Buffer, options: object): Promise<void> {
    const confirm = await this.#ready()
    await new Promise<void>((resolve, reject) => {
      confirm.publish(queue, content, options, (error) => {
        if (error === null || error === undefined) resolve()
        else reject(error as Error)
      })
    })
  }

  /** Waits for no channel that is being opened: with a connection that is down that may take for ever. */
  async close(): Promise<void> {
    const [opening, open] = [this.#channel, this.#opened]
    this.#channel = undefined
    if (open !== undefined) await closed(open)
    else void opening?.then(closed, () => undefined)
  }

  #ready(): Promise<ConfirmChannel> {
    this.#channel ??= this.#reopen()
    return this.#channel
  }

  async #reopen(): Promise<ConfirmChannel> {
    const gone = (): void => {
      this.#channel = undefined
      this.#opened = undefined
      this.#declared.clear()
      this.#returned.clear()
    }
    try {
      const confirm = await this.#open()
      listen(confirm.channel, gone, this.#returned)
      this.#opened = confirm
      return confirm
    } catch (error) {
      gone()
      throw error
    }
  }
}

async function closed({ channel }: ConfirmChannel): Promise<void> {
  await answerOf((done) => channel.close(done)).catch(() => undefined)
}

function listen(channel: RawChannel, gone: () => void, returned: Set<string>): void {
  // What closed it rejects the call that waits; without a listener the process would end.
  channel.on('error', () => undefined)
  channel.on('close', gone)
  channel.on('return', ({ properties }: AmqpMessage) => {
    const id = properties.headers?.[COPY_HEADER]
    if (typeof id === 'string') returned.add(id)
  })
}

/**
 * The properties of a copy: those of the message, but for three that would act on the copy itself. They stand
 * in headers instead: the time to live ended when the message was delivered, the broker would check the user
 * against ours, and it would send further copies to the queues in CC.
 */
export function copiedProperties(
  properties: AmqpProperties,
  added: Readonly<Record<string, unknown>>,
): object {
  const { expiration, userId, headers, ...kept } = properties
  const { CC: carbonCopies, ...otherHeaders } = headers ?? {}
  const moved = Object.entries({
    'x-oncemq-expiration': expiration,
    'x-oncemq-user-id': userId,
    'x-oncemq-cc': carbonCopies,
  }).filter(([, value]) => value !== undefined)
  return { ...kept, headers: { ...otherHeaders, ...Object.fromEntries(moved), ...added } }
}
