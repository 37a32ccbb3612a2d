// A whole broker adapter, for a queue in memory that delivers again what was not acked.
import { createDeduplicator, MemoryStore } from '@oncemq/core'
import { ManagedConsumer } from '@oncemq/core/broker'
import type { HeldMessage, MessageSource, Receiver, Session } from '@oncemq/core/broker'

interface Message {
  readonly id: string
  readonly body: string
}

/** The broker's client: what is received is unsettled until one of the other verbs is called. */
class Queue {
  readonly #ready: Message[] = []
  #deliver: ((message: Message) => void) | undefined

  send(message: Message): void {
    if (this.#deliver === undefined) this.#ready.push(message)
    else this.#deliver(message)
  }

  consume(deliver: (message: Message) => void): void {
    this.#deliver = deliver
    for (const message of this.#ready.splice(0)) deliver(message)
  }

  cancel(): void {
    this.#deliver = undefined
  }

  ack({ id }: Message): void {
    tell(`ack ${id}`)
  }

  nack(message: Message): void {
    this.send(message)
  }

  async copyLater({ id, body }: Message, delayMs: number): Promise<void> {
    setTimeout(() => this.send({ id, body }), delayMs)
  }

  async park({ id }: Message, why: string): Promise<void> {
    tell(`dead letter ${id}: ${why}`)
  }
}

// #region held
/** A message that was received and not settled: what the engine reads of it, and the four verbs. */
function held(queue: Queue, message: Message, signal: AbortSignal): HeldMessage<Message> {
  return {
    message,
    source: 'mail',
    body: Buffer.from(message.body),
    startsBefore: 0,
    firstAtMs: Date.now(),
    signal,
    ack: () => queue.ack(message),
    giveBack: () => queue.nack(message),
    retryLater: ({ delayMs }) => queue.copyLater(message, delayMs),
    deadLetter: ({ reason, attempts }) => queue.park(message, `${reason} after ${attempts} attempts`),
  }
}
// #endregion

// #region source
/** Where messages come from: one session after the other, each with at most one consumer. */
function sourceOf(queue: Queue): MessageSource<Message> {
  return {
    async open(receiver: Receiver<Message>): Promise<Session> {
      const gone = new AbortController()
      const begin = (): void =>
        queue.consume((message) => receiver.received(held(queue, message, gone.signal)))
      begin()
      return {
        pause: async () => queue.cancel(),
        resume: async () => begin(),
        stop: async () => queue.cancel(),
        close: async () => gone.abort(),
      }
    },
    close: async () => undefined,
  }
}
// #endregion

const { promise: isOver, resolve: over } = Promise.withResolvers<void>()
const lines: string[] = []

function tell(line: string): void {
  console.log(line)
  lines.push(line)
  if (lines.filter((each) => each.startsWith('ack')).length === 3) over()
}

const queue = new Queue()
const dedup = createDeduplicator({
  store: new MemoryStore(),
  consumerGroup: 'mail',
  attemptsMax: 2,
  logger: { warn: () => undefined },
})

// #region consume
const consumer = await ManagedConsumer.start<undefined, Message>({
  dedup,
  source: sourceOf(queue),
  key: ({ id }) => id,
  async handler({ message }, { attempt }) {
    tell(`handler of ${message.id}, attempt ${attempt}`)
    if (message.id === 'm2') throw new Error('no luck')
    return undefined
  },
  middlewares: [],
  retry: { firstMs: 10, factor: 2, maxMs: 1000 },
  window: 10,
  concurrency: 10,
  holdMs: Number.POSITIVE_INFINITY,
})
// #endregion

queue.send({ id: 'm1', body: 'hello' })
queue.send({ id: 'm1', body: 'hello' })
queue.send({ id: 'm2', body: 'hello' })
await isOver
await consumer.close()
await dedup.close()
