import type { DeduplicatorOptions } from '@oncemq/core'
import { createDeduplicator, MemoryStore } from '@oncemq/core'
import { declareKafka } from '@oncemq/test-services/kafka'
import { onTestFinished } from 'vitest'
import type { ConsumeOptions, ExactlyOnceOptions, KafkaMessage, KafkaTransaction } from '../src/index.ts'
import { consume, exactlyOnce, position } from '../src/index.ts'
import { platformaticOf } from './platformatic.ts'
import { nameOf, Topic, until } from './set-up.ts'

const SOON = { firstMs: 20, factor: 1 }

export const textOf = ({ value }: KafkaMessage): string => String(value)

export type Handler = ConsumeOptions<KafkaTransaction>['handler']

/** A topic, one for what its handlers send, and a group that handles it until the test has ended. */
export class Pipeline {
  readonly topic: Topic
  readonly target: string
  readonly group = nameOf('g')
  readonly warnings: string[] = []
  readonly #url: string

  private constructor(url: string, topic: Topic, target: string) {
    this.#url = url
    this.topic = topic
    this.target = target
  }

  static async open(url: string, partitions = 1): Promise<Pipeline> {
    const topic = await Topic.open(url, partitions)
    const target = `${topic.name}.out`
    await declareKafka(url, [{ name: target }])
    return new Pipeline(url, topic, target)
  }

  async run(
    handler: Handler,
    options: Partial<DeduplicatorOptions> & { batch?: ExactlyOnceOptions['batch'] } = {},
  ) {
    const { batch, ...rest } = options
    const dedup = createDeduplicator({
      consumerGroup: this.group,
      logger: { warn: (text) => void this.warnings.push(text) },
      ...rest,
      strategy: exactlyOnce({ client: this.topic.kafka, transactionalId: 't', ...(batch && { batch }) }),
    } as Parameters<typeof createDeduplicator<KafkaTransaction>>[0])
    onTestFinished(() => dedup.close({ timeoutMs: 100 }))
    const { kafka, name } = this.topic
    const consumer = await consume({ client: kafka, topics: [name], dedup, handler, retry: SOON })
    onTestFinished(() => consumer.close({ timeoutMs: 1000 }))
    return { dedup, consumer }
  }

  /** What a reader of what is committed sees. A bare consumer of kafkajs sees aborted ones too. */
  async outputs(): Promise<readonly string[]> {
    const seen: string[] = []
    const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: nameOf('r') })
    const reader = await consume({
      client: platformaticOf(new URL(this.#url).host),
      topics: [this.target],
      dedup,
      key: position(),
      handler: (message) => void seen.push(textOf(message)),
    })
    onTestFinished(() => dedup.close({ timeoutMs: 100 }))
    onTestFinished(() => reader.close({ timeoutMs: 1000 }))
    return seen
  }

  /** How many offsets of the target are used. */
  async size(): Promise<number> {
    const admin = this.topic.kafka.admin()
    await admin.connect()
    const [offsets] = await admin.fetchTopicOffsets(this.target)
    await admin.disconnect()
    return Number(offsets?.high ?? 0)
  }

  /** What the group keeps with its offset. */
  async metadata(): Promise<string | null | undefined> {
    const admin = this.topic.kafka.admin()
    await admin.connect()
    const [group] = await admin.fetchOffsets({ groupId: this.group, topics: [this.topic.name] })
    await admin.disconnect()
    return group?.partitions[0]?.metadata
  }

  async done(count: number): Promise<void> {
    await until('no lag', async () => (await this.topic.committed(this.group)) === count)
  }

  send(...values: readonly string[]): Promise<void> {
    return this.topic.send(...values.map((value) => ({ value })))
  }
}
