import { stampId } from '@oncemq/kafka'
import type { Admin, Kafka, Producer } from 'kafkajs'
import type { DemoBroker, RunningService, ServicePlan } from './demo-broker.ts'
import { Failure, reasonOf } from './failure.ts'
import { kafkaOf } from './kafka-client.ts'
import type { Payment } from './payments.ts'
import { payments } from './payments.ts'
import { startServiceProcess } from './service-process.ts'

interface Parts {
  readonly url: string
  readonly kafka: Kafka
  readonly admin: Admin
  closed?(): Promise<void>
}

/** A Kafka at `url`. Each service is a process of its own. @throws Failure when it cannot be reached. */
export async function openKafka(url: string, closed?: () => Promise<void>): Promise<DemoBroker> {
  const kafka = kafkaOf(url)
  const admin = kafka.admin({ retry: { retries: 2 } })
  try {
    await admin.connect()
    return new KafkaBroker({ url, kafka, admin, ...(closed && { closed }) })
  } catch (error) {
    await closed?.()
    throw new Failure(
      `--broker: expected a Kafka at ${new URL(url).host}, received ${reasonOf(error)}; ` +
        `see that it runs, or leave --broker out for the embedded one`,
      { cause: error },
    )
  }
}

/** A topic with a partition for each payment, and a consumer group of the same name, for each act. */
class KafkaBroker implements DemoBroker {
  readonly name = 'kafka'
  readonly description: string
  readonly crash = 'the process is killed with -9'
  readonly dropIn = 'dedupEachMessage around eachMessage; the consumer stays as it was'
  readonly patienceMs = 500
  readonly sendsFirst = true
  readonly #parts: Parts
  /** One a topic: the client asks for all topics that it has ever sent to, and fails when one is gone. */
  readonly #producers = new Map<string, Producer>()

  constructor(parts: Parts) {
    this.#parts = parts
    this.description = `Kafka at ${new URL(parts.url).host}`
  }

  async declare(queue: string): Promise<void> {
    await this.#parts.admin.createTopics({
      topics: [{ topic: queue, numPartitions: payments.length }, { topic: `${queue}.parked` }],
      waitForLeaders: false,
    })
    const producer = this.#parts.kafka.producer({ allowAutoTopicCreation: false })
    this.#producers.set(queue, producer)
    await producer.connect()
  }

  async send(queue: string, payment: Payment): Promise<void> {
    // So that all of them can be at work at the same time.
    const partition = payments.findIndex(({ id }) => id === payment.id)
    const message = stampId({ partition, value: JSON.stringify(payment) }, payment.id)
    await this.#producers.get(queue)?.send({ topic: queue, messages: [message] })
  }

  startService(plan: ServicePlan): Promise<RunningService> {
    return startServiceProcess({ url: this.#parts.url, plan })
  }

  async remove(queue: string): Promise<void> {
    const { admin } = this.#parts
    await this.#producers.get(queue)?.disconnect()
    await admin.deleteTopics({ topics: [queue, `${queue}.parked`] })
    // One that died may be a member still; the broker forgets the group by itself.
    await admin.deleteGroups([queue]).catch(() => undefined)
  }

  async close(): Promise<void> {
    await this.#parts.admin.disconnect()
    await this.#parts.closed?.()
  }
}
