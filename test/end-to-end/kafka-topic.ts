import { stampId } from '@oncemq/kafka'
import { declareKafka } from '@oncemq/test-services/kafka'
import type { Admin, Producer } from 'kafkajs'
import { Kafka, logLevel } from 'kafkajs'
import type { TestContext } from 'vitest'
import { groupOf } from './grouped-keys.ts'
import { until } from './until.ts'

const PARTITIONS = 6

export function clientOf(url: string): Kafka {
  const retry = { initialRetryTime: 50, maxRetryTime: 1000, retries: 20 }
  return new Kafka({ brokers: [new URL(url).host], retry, logLevel: logLevel.NOTHING })
}

/** A topic of the test's own, whose keys are `group-number`: the group is the record's key. */
export class KafkaTopic {
  readonly name: string
  readonly #producer: Producer
  readonly #admin: Admin

  private constructor(name: string, producer: Producer, admin: Admin) {
    this.name = name
    this.#producer = producer
    this.#admin = admin
  }

  static async open(url: string, name: string, { onTestFinished }: TestContext): Promise<KafkaTopic> {
    await declareKafka(url, [{ name, partitions: PARTITIONS }, { name: `${name}.parked` }])
    const kafka = clientOf(url)
    const [producer, admin] = [kafka.producer({ allowAutoTopicCreation: false }), kafka.admin()]
    await Promise.all([producer.connect(), admin.connect()])
    onTestFinished(async () => {
      await Promise.all([producer.disconnect(), admin.disconnect()])
    })
    return new KafkaTopic(name, producer, admin)
  }

  /** Sends all once, and then all again, as a producer does that heard nothing. */
  async sendTwice(keys: readonly string[]): Promise<void> {
    await this.send([...keys, ...keys])
  }

  async send(keys: readonly string[]): Promise<void> {
    for (const key of keys) {
      const messages = [stampId({ key: groupOf(key), value: key }, key)]
      await this.#producer.send({ topic: this.name, messages })
    }
  }

  /** Waits until the group has committed the offsets of all records. */
  async settled(waitMs: number): Promise<void> {
    await until('all offsets to be committed', async () => (await this.#left()) === 0, waitMs)
  }

  /** How many records are after the offsets that the group has committed. */
  async #left(): Promise<number> {
    const [ends, [group]] = await Promise.all([
      this.#admin.fetchTopicOffsets(this.name),
      this.#admin.fetchOffsets({ groupId: this.name, topics: [this.name] }),
    ])
    const committed = new Map(group?.partitions.map(({ partition, offset }) => [partition, Number(offset)]))
    const leftIn = ends.map(
      ({ partition, high }) => Number(high) - Math.max(0, committed.get(partition) ?? 0),
    )
    return leftIn.reduce((sum, left) => sum + left, 0)
  }
}
