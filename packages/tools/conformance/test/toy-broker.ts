import type { HandlerContext, Middleware, ProcessOutcome } from '@oncemq/core'
import { ManagedConsumer } from '@oncemq/core/broker'
import type {
  Consumer,
  DeadLetter,
  HeldMessage,
  ManagedConsumerOptions,
  MessageSource,
  Receiver,
  Retry,
  Session,
} from '@oncemq/core/broker'
import type {
  BrokerBench,
  ConsumeRequest,
  SuiteConsumer,
  SuiteDeadLetter,
  SuiteMessage,
} from '../src/index.ts'

const RETRY = { firstMs: 20, factor: 1, maxMs: 20 }
const DELIVERY_LIMIT = 20
const RETURNS_MAX = 3

/** What a handler is given, and may change. */
export interface ToyMessage {
  key: string | undefined
  body: string
  route: string
}

/** A message at the broker. */
export interface Stored {
  readonly message: Readonly<ToyMessage>
  readonly firstAtMs: number
  /** Starts that its copies tell of. */
  readonly starts: number
  returns: number
}

export type ToyLetter = SuiteDeadLetter

/** A broker in memory, which deletes what it has returned too often: a queue, and what was put aside. */
export class ToyBroker {
  readonly name: string
  readonly ready: Stored[] = []
  readonly dead: ToyLetter[] = []
  readonly links = new Set<ToyLink>()

  constructor(name: string) {
    this.name = name
  }

  send({ key, body }: SuiteMessage): void {
    this.add({
      message: Object.freeze({ key, body, route: this.name }),
      firstAtMs: Date.now(),
      starts: 0,
      returns: 0,
    })
  }

  add(stored: Stored): void {
    this.ready.push(stored)
    this.pump()
  }

  /** Counts, as brokers do. */
  giveBack(...returned: Stored[]): void {
    for (const stored of returned) stored.returns += 1
    this.ready.unshift(...returned.filter(({ returns }) => returns <= DELIVERY_LIMIT))
    this.pump()
  }

  pump(): void {
    for (const link of this.links) link.pump()
  }
}

/** A consumer's connection. What it holds unacked when it closes is delivered again. */
export class ToyLink {
  readonly unacked = new Set<Stored>()
  readonly gone = new AbortController()
  readonly #broker: ToyBroker
  readonly #prefetch: number
  readonly #deliver: (stored: Stored, link: ToyLink) => void
  isPaused = false

  constructor(broker: ToyBroker, prefetch: number, deliver: (stored: Stored, link: ToyLink) => void) {
    this.#broker = broker
    this.#prefetch = prefetch
    this.#deliver = deliver
    broker.links.add(this)
    queueMicrotask(() => this.pump())
  }

  pump(): void {
    while (!this.gone.signal.aborted && !this.isPaused && this.unacked.size < this.#prefetch) {
      const stored = this.#broker.ready.shift()
      if (stored === undefined) return
      this.unacked.add(stored)
      this.#deliver(stored, this)
    }
  }

  ack(stored: Stored): void {
    if (this.unacked.delete(stored)) this.#broker.pump()
  }

  requeue(stored: Stored): void {
    if (this.unacked.delete(stored)) this.#broker.giveBack(stored)
  }

  close(): void {
    if (!this.#broker.links.delete(this)) return
    this.gone.abort()
    const left = [...this.unacked]
    this.unacked.clear()
    this.#broker.giveBack(...left)
  }
}

/** The smallest correct adapter on the engine, each rule in a method of its own: broken ones override one. */
export class ToyAdapter implements SuiteConsumer {
  protected readonly broker: ToyBroker
  protected readonly request: ConsumeRequest
  protected link: ToyLink | undefined
  protected consumer: Consumer | undefined

  constructor(broker: ToyBroker, request: ConsumeRequest) {
    this.broker = broker
    this.request = request
  }

  async start(): Promise<this> {
    this.consumer = await ManagedConsumer.start(this.options())
    return this
  }

  options(): ManagedConsumerOptions<undefined, ToyMessage> {
    const { concurrency, dedup, middleware } = this.request
    return {
      dedup,
      source: this.source(),
      key: (message) => this.keyOf(message),
      handler: (held, context) => this.handle(held, context),
      onSuccess: async () => void JSON.stringify(this.answer),
      middlewares: middleware === undefined ? [] : [around(middleware)],
      retry: RETRY,
      window: concurrency,
      concurrency,
      holdMs: 60_000,
    }
  }

  source(): MessageSource<ToyMessage> {
    return { open: (receiver) => this.open(receiver), close: async () => undefined }
  }

  async open(receiver: Receiver<ToyMessage>): Promise<Session> {
    const link = new ToyLink(this.broker, this.request.concurrency, (stored, own) =>
      receiver.received(this.held(stored, own)),
    )
    this.link = link
    const pause = async (): Promise<void> => void (link.isPaused = true)
    return { pause, stop: pause, resume: () => this.resume(link), close: async () => link.close() }
  }

  async resume(link: ToyLink): Promise<void> {
    link.isPaused = false
    link.pump()
  }

  held(stored: Stored, link: ToyLink): HeldMessage<ToyMessage> {
    const { message, firstAtMs, returns } = stored
    return {
      message: { ...message },
      source: this.broker.name,
      body: Buffer.from(message.body),
      startsBefore: this.startsOf(stored),
      firstAtMs,
      signal: link.gone.signal,
      isWornOut: (hasRecord) => returns >= RETURNS_MAX || (!hasRecord && returns > 0),
      ack: () => link.ack(stored),
      giveBack: () => link.requeue(stored),
      retryLater: async (retry) => this.retryLater(stored, retry),
      deadLetter: async (letter) => void this.broker.dead.push(this.letterOf(stored, letter)),
    }
  }

  startsOf({ starts, returns, message }: Stored): number {
    return starts + (message.key === undefined ? returns : 0)
  }

  retryLater(stored: Stored, { delayMs, starts }: Retry): void {
    setTimeout(() => this.broker.add(this.copyOf(stored, starts)), delayMs)
  }

  copyOf({ message, firstAtMs }: Stored, starts: number): Stored {
    return { message, firstAtMs, starts, returns: 0 }
  }

  letterOf({ message }: Stored, { reason, attempts, errorName, errorMessage }: DeadLetter): ToyLetter {
    return { body: message.body, reason, attempts, errorName, errorMessage }
  }

  keyOf({ key }: ToyMessage): string | undefined {
    return key
  }

  protected answer: unknown

  async handle(held: HeldMessage<ToyMessage>, context: HandlerContext): Promise<undefined> {
    const { message } = held
    const { key, epoch, attempt, signal } = context
    const { body, route } = message
    const spoil = (): void => void Object.assign(message, { key: `${attempt}`, body: 'spoiled', route: 'x' })
    this.answer = await this.request.handler({ body, key, epoch, attempt, signal, arrival: route, spoil })
    return undefined
  }

  async close(options?: { timeoutMs?: number }): Promise<void> {
    await this.consumer?.close(options)
  }

  async cut(): Promise<void> {
    const { link } = this
    void this.consumer?.close({ timeoutMs: 0 })
    link?.close()
  }
}

function around(
  middleware: NonNullable<ConsumeRequest['middleware']>,
): Middleware<ToyMessage, ProcessOutcome> {
  return async ({ body }, next) => {
    await middleware(body)
    return next()
  }
}

export function openToyBench(Adapter: typeof ToyAdapter): BrokerBench {
  const brokers = { first: new ToyBroker('first'), second: new ToyBroker('second') }
  const all = Object.values(brokers)
  return {
    send: async (message) => brokers[message.queue ?? 'first'].send(message),
    consume: async (request) => new Adapter(brokers[request.queue ?? 'first'], request).start(),
    remaining: async () => brokers.first.ready.length,
    deadLettered: async () => all.flatMap(({ dead }) => dead),
    async close() {
      for (const { links } of all) for (const link of links) link.close()
    },
  }
}
