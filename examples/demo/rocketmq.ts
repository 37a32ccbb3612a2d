import { isOncemqError } from '@oncemq/core'
import { stopClient, startClient, stampKeys } from '@oncemq/rocketmq'
import { declareRocketmq, removeRocketmq } from '@oncemq/test-services/rocketmq'
import { Producer } from 'rocketmq-client-nodejs'
import type { DemoBroker, RunningService, ServicePlan } from './demo-broker.ts'
import { Failure, reasonOf } from './failure.ts'
import type { Payment } from './payments.ts'
import { clientOptions } from './rocketmq-client.ts'
import { startServiceProcess } from './service-process.ts'

const CONNECT_TIMEOUT_MS = 10_000

interface Parts {
  readonly url: string
  readonly producer: Producer
  /** A topic of the demo's own: a producer proves by it that the server lets it in. */
  readonly home: string
  closed?(): Promise<void>
}

/** A RocketMQ at `url`. Each service is a process of its own. @throws Failure when it cannot be reached. */
export async function openRocketmq(url: string, closed?: () => Promise<void>): Promise<DemoBroker> {
  const home = `oncemq-demo-${process.pid}`
  try {
    await declareRocketmq(url, { topics: [{ name: home, type: 'NORMAL' }] })
    const producer = new Producer({ ...clientOptions(url), topics: [home] })
    await startClient(producer, { timeoutMs: CONNECT_TIMEOUT_MS })
    return new RocketmqBroker({ url, producer, home, ...(closed && { closed }) })
  } catch (error) {
    await closed?.()
    throw new Failure(
      `--broker: expected a RocketMQ at ${new URL(url).host} whose broker takes topics at ` +
        `${brokerOf(url)}, received ${isOncemqError(error) ? error.code : reasonOf(error)}; ` +
        `see that both run, or leave --broker out for the embedded one`,
      { cause: error },
    )
  }
}

/** A topic of one queue, and a consumer group of the same name, for each act. */
class RocketmqBroker implements DemoBroker {
  readonly name = 'rocketmq'
  readonly description: string
  readonly crash = 'the process is killed with -9'
  readonly dropIn = 'dedupSimpleConsumer around the consumer; the loop stays as it was'
  /** Long, as a copy that comes while its key is at work is put off by ten seconds, and delivered again. */
  readonly patienceMs = 2000
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
    this.description = `RocketMQ at ${new URL(parts.url).host}`
  }

  async declare(queue: string): Promise<void> {
    await declareRocketmq(this.#parts.url, {
      topics: [{ name: queue, type: 'NORMAL', queues: 1 }],
      groups: [{ name: queue }],
    })
  }

  async send(queue: string, payment: Payment): Promise<void> {
    const body = Buffer.from(JSON.stringify(payment))
    await this.#parts.producer.send(stampKeys({ topic: queue, body }, payment.id))
  }

  startService(plan: ServicePlan): Promise<RunningService> {
    return startServiceProcess({ url: this.#parts.url, plan })
  }

  async remove(queue: string): Promise<void> {
    await removeRocketmq(this.#parts.url, { topics: [queue], groups: [queue] })
  }

  async close(): Promise<void> {
    const { url, producer, home } = this.#parts
    await stopClient(producer)
    await removeRocketmq(url, { topics: [home] })
    await this.#parts.closed?.()
  }
}

function brokerOf(url: string): string {
  return new URL(url).searchParams.get('broker') ?? ''
}
