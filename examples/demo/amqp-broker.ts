import type { ChannelModel, ConfirmChannel } from 'amqplib'
import type { DemoBroker, RunningService, ServicePlan } from './demo-broker.ts'
import type { Payment } from './payments.ts'

/** A broker that was told nothing more removes what a killed demo left behind. */
const QUEUE_EXPIRES_MS = 60_000

export interface AmqpBrokerParts extends Pick<DemoBroker, 'name' | 'description' | 'crash'> {
  readonly connection: ChannelModel
  startService(plan: ServicePlan): Promise<RunningService>
  /** Ends what was started for the demo. */
  closed?(): Promise<void>
}

/** What the embedded broker and a real RabbitMQ have in common: everything but how a service is started. */
export class AmqpBroker implements DemoBroker {
  readonly name: string
  readonly description: string
  readonly crash: string
  readonly dropIn = 'dedupChannel around the channel; the consumer stays as it was'
  readonly patienceMs = 20
  readonly #parts: AmqpBrokerParts
  readonly #channel: ConfirmChannel

  constructor(parts: AmqpBrokerParts, channel: ConfirmChannel) {
    this.name = parts.name
    this.description = parts.description
    this.crash = parts.crash
    this.#parts = parts
    this.#channel = channel
  }

  async declare(queue: string): Promise<void> {
    await this.#channel.assertQueue(queue, { durable: true, expires: QUEUE_EXPIRES_MS })
  }

  async send(queue: string, payment: Payment): Promise<void> {
    const body = Buffer.from(JSON.stringify(payment))
    const options = { messageId: payment.id, persistent: true }
    await new Promise<void>((resolve, reject) => {
      this.#channel.sendToQueue(queue, body, options, (error: Error | null) => {
        if (error === null) resolve()
        else reject(error)
      })
    })
  }

  startService(plan: ServicePlan): Promise<RunningService> {
    return this.#parts.startService(plan)
  }

  async remove(queue: string): Promise<void> {
    await this.#channel.deleteQueue(queue)
  }

  async close(): Promise<void> {
    await this.#parts.connection.close()
    await this.#parts.closed?.()
  }
}
