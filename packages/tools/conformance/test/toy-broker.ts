import type { HandlerContext, ProcessOutcome } from '@oncemq/core'
import { settlementOf } from '@oncemq/core/broker'
import type { BrokerBench, ConsumeRequest, SuiteConsumer, SuiteMessage } from '../src/index.ts'

const RETRY = { firstMs: 20, factor: 1, maxMs: 20 }

/** A broker in memory: a queue, what was dead-lettered, and the links of its consumers. */
export class ToyBroker {
  readonly ready: SuiteMessage[] = []
  readonly dead: string[] = []
  readonly links = new Set<ToyLink>()

  send(message: SuiteMessage): void {
    this.ready.push(message)
    this.pump()
  }

  pump(): void {
    for (const link of this.links) link.pump()
  }
}

/** A consumer's connection. What it holds unacked when it closes is delivered again. */
export class ToyLink {
  readonly unacked = new Set<SuiteMessage>()
  readonly #broker: ToyBroker
  readonly #prefetch: number
  readonly #deliver: (message: SuiteMessage) => void
  isPaused = false

  constructor(broker: ToyBroker, prefetch: number, deliver: (message: SuiteMessage) => void) {
    this.#broker = broker
    this.#prefetch = prefetch
    this.#deliver = deliver
    broker.links.add(this)
    queueMicrotask(() => this.pump())
  }

  pump(): void {
    const isOpen = this.#broker.links.has(this)
    while (isOpen && !this.isPaused && this.unacked.size < this.#prefetch) {
      const message = this.#broker.ready.shift()
      if (message === undefined) return
      this.unacked.add(message)
      this.#deliver(message)
    }
  }

  ack(message: SuiteMessage): void {
    if (this.unacked.delete(message)) this.#broker.pump()
  }

  requeue(message: SuiteMessage): void {
    if (this.unacked.delete(message)) this.#broker.ready.unshift(message)
    this.#broker.pump()
  }

  deadLetter(message: SuiteMessage): void {
    if (this.unacked.delete(message)) this.#broker.dead.push(message.body)
    this.#broker.pump()
  }

  close(): void {
    if (!this.#broker.links.delete(this)) return
    this.#broker.ready.unshift(...this.unacked)
    this.unacked.clear()
    this.#broker.pump()
  }
}

/** The smallest correct adapter, each rule in a method of its own: the broken ones override one each. */
export class ToyAdapter implements SuiteConsumer {
  protected readonly request: ConsumeRequest
  readonly link: ToyLink
  protected readonly stopping = new AbortController()
  /** What ends the waiting for busy keys. */
  readonly waiting: AbortSignal = this.stopping.signal
  protected running = 0

  constructor(broker: ToyBroker, request: ConsumeRequest) {
    this.request = request
    this.link = new ToyLink(broker, request.concurrency, (message) => void this.receive(message))
  }

  async receive(message: SuiteMessage): Promise<void> {
    this.running += 1
    this.settle(message, await this.process(message))
    this.running -= 1
  }

  process(message: SuiteMessage): Promise<ProcessOutcome> {
    const delivery = { key: this.keyOf(message), body: this.payloadOf(message), signal: this.waiting }
    return this.request.dedup.process(delivery, (context) => this.handle(message, context))
  }

  keyOf({ key }: SuiteMessage): string | undefined {
    return key
  }

  payloadOf({ body }: SuiteMessage): Uint8Array | undefined {
    return Buffer.from(body)
  }

  handle({ body }: SuiteMessage, { key, epoch, attempt, signal }: HandlerContext): Promise<void> {
    return this.request.handler({ body, key, epoch, attempt, signal })
  }

  settle(message: SuiteMessage, outcome: ProcessOutcome): void {
    const settlement = settlementOf(outcome, { retry: RETRY, onUnconfirmed: 'ack' })
    if (settlement.action === 'ack') return this.link.ack(message)
    if (settlement.action === 'dead-letter') return this.link.deadLetter(message)
    this.later(message, this.stopping.signal.aborted ? 0 : settlement.delayMs)
  }

  later(message: SuiteMessage, delayMs: number): void {
    setTimeout(() => this.link.requeue(message), delayMs)
  }

  async close(): Promise<void> {
    this.stop()
    while (this.running > 0) await new Promise((resolve) => setTimeout(resolve, 5))
    this.link.close()
  }

  stop(): void {
    this.link.isPaused = true
    this.stopping.abort()
  }

  async cut(): Promise<void> {
    this.link.close()
  }
}

export function openToyBench(Adapter: typeof ToyAdapter): BrokerBench {
  const broker = new ToyBroker()
  return {
    send: async (message) => broker.send({ ...message }),
    consume: async (request) => new Adapter(broker, request),
    remaining: async () => broker.ready.length,
    deadLettered: async () => broker.dead,
    async close() {
      for (const link of broker.links) link.close()
    },
  }
}
