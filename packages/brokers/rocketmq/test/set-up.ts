import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { createDeduplicator, type Deduplicator, type DeduplicatorOptions, MemoryStore } from '@oncemq/core'
import { declareRocketmq, type RocketmqTopicType } from '@oncemq/test-services/rocketmq'
import { type MessageView, Producer, PushConsumer, SimpleConsumer } from 'rocketmq-client-nodejs'
import { afterAll, onTestFinished } from 'vitest'
import { stopClient, startClient } from '../src/index.ts'

// The client writes a log below the home folder even where it is given a logger.
const home = mkdtempSync(join(tmpdir(), 'oncemq-rocketmq-'))
process.env['HOME'] = home
afterAll(() => rmSync(home, { recursive: true, force: true }))

const WAIT_MS = 20_000
const LOOK_EVERY_MS = 20
const POLL_MS = 1000
const SHUTDOWN_MS = 5000
/** The least that the server allows. */
const INVISIBLE_MS = 10_000

export const silent = { info() {}, warn() {}, error() {}, debug() {}, close() {} }

/** Waits until `look` answers something true; fails with `what` when it does not in time. */
export async function until<Value>(what: string, look: () => Value | Promise<Value>, waitMs = WAIT_MS) {
  const endMs = performance.now() + waitMs
  for (;;) {
    const value = await look()
    if (value) return value as Exclude<Value, false | undefined>
    if (performance.now() > endMs) throw new Error(`waited ${waitMs} ms for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
}

/** The next message that a consumer is given. */
export async function nextOf(consumer: SimpleConsumer): Promise<MessageView> {
  return until('a message', async () => (await consumer.receive(1, INVISIBLE_MS))[0])
}

/** Lets pass what may still come: for showing that nothing does. */
export async function quiet(delayMs: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, delayMs))
}

export type LeaseOptions = Partial<DeduplicatorOptions> & { strategy?: 'lease' }

export function deduplicator(options: LeaseOptions = {}): Deduplicator {
  const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'test', ...options })
  onTestFinished(() => dedup.close({ timeoutMs: 100 }))
  return dedup
}

/** A topic and a consumer group of this test alone. */
export async function place(url: string, type: RocketmqTopicType = 'NORMAL', group = {}, queues = 4) {
  const name = `t${process.pid}_${Math.random().toString(36).slice(2, 10)}`
  await declareRocketmq(url, {
    topics: [
      { name, type, queues },
      { name: `${name}_parked`, type: 'NORMAL' },
    ],
    groups: [{ name: `g_${name}`, orderly: type === 'FIFO', ...group }, { name: `d_${name}` }],
  })
  return new Place(url, name, `g_${name}`)
}

export class Place {
  readonly url: string
  readonly topic: string
  readonly group: string
  #producer: Promise<Producer> | undefined

  constructor(url: string, topic: string, group: string) {
    this.url = url
    this.topic = topic
    this.group = group
  }

  get base() {
    return { endpoints: new URL(this.url).host, namespace: '', logger: silent }
  }

  /** A started producer of this place's topics. */
  producer(topics = [this.topic, `${this.topic}_parked`]): Promise<Producer> {
    this.#producer ??= this.#startProducer(topics)
    return this.#producer
  }

  async send(
    body: string,
    options: { keys?: string[]; messageGroup?: string; tag?: string } = { keys: [body] },
  ) {
    const producer = await this.producer()
    return producer.send({ topic: this.topic, body: Buffer.from(body), ...options })
  }

  /** A SimpleConsumer that is not started. */
  simple({
    topic = this.topic,
    group = this.group,
    awaitDuration = POLL_MS,
    url = this.url,
  } = {}): SimpleConsumer {
    const consumer = new SimpleConsumer({
      ...this.base,
      endpoints: new URL(url).host,
      consumerGroup: group,
      subscriptions: new Map([[topic, '*']]),
      awaitDuration,
    })
    onTestFinished(() => stopClient(consumer, { timeoutMs: SHUTDOWN_MS }).catch(() => undefined))
    return consumer
  }

  async started(topic = this.topic, group = this.group): Promise<SimpleConsumer> {
    const consumer = this.simple({ topic, group })
    await startClient(consumer)
    return consumer
  }

  /** A started consumer of what was dead-lettered, in a group of its own. */
  deadLetters(): Promise<SimpleConsumer> {
    return this.started(`%DLQ%${this.group}`, `d_${this.topic}`)
  }

  async push(messageListener: PushListener, options = {}): Promise<PushConsumer> {
    const consumer = new PushConsumer({
      ...this.base,
      consumerGroup: this.group,
      subscriptions: new Map([[this.topic, '*']]),
      messageListener,
      ...options,
    })
    onTestFinished(() => stopClient(consumer, { timeoutMs: SHUTDOWN_MS }).catch(() => undefined))
    await startClient(consumer)
    return consumer
  }

  async #startProducer(topics: string[]): Promise<Producer> {
    const producer = new Producer({ ...this.base, topics })
    await startClient(producer)
    onTestFinished(() => stopClient(producer, { timeoutMs: SHUTDOWN_MS }).catch(() => undefined))
    return producer
  }
}

type PushListener = ConstructorParameters<typeof PushConsumer>[0]['messageListener']
