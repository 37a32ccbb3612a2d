import { MessageHandlerErrorBehavior, Nack, RabbitSubscribe } from '@golevelup/nestjs-rabbitmq'
import { Injectable } from '@nestjs/common'
import { Deduplicated } from '@oncemq/nestjs'
import type { ConsumeMessage } from 'amqplib'
import { Journal } from './orders.controller'

const queue = process.env.QUEUE ?? 'orders'
const subscription = (name: string, errorBehavior?: MessageHandlerErrorBehavior) => ({
  exchange: `${queue}.events`,
  routingKey: name,
  queue: `${queue}.${name}`,
  queueOptions: { durable: true, autoDelete: true },
  ...(errorBehavior && { errorBehavior }),
})

const key = (_event: unknown, raw: ConsumeMessage) => raw.properties.messageId as string

@Injectable()
export class Subscriber {
  #nacks = 0

  constructor(private readonly journal: Journal) {}

  @RabbitSubscribe(subscription('above'))
  @Deduplicated({ key })
  async above(event: { order: string }, raw: ConsumeMessage): Promise<void> {
    this.journal.lines.push(`above ${event.order} ${raw.properties.messageId}`)
  }

  @Deduplicated({ key })
  @RabbitSubscribe(subscription('below'))
  async below(event: { order: string }, _raw: ConsumeMessage): Promise<void> {
    this.journal.lines.push(`below ${event.order}`)
  }

  @RabbitSubscribe(subscription('nacked'))
  @Deduplicated({ key })
  async nacked(_event: { order: string }, _raw: ConsumeMessage): Promise<Nack | void> {
    this.#nacks += 1
    this.journal.lines.push(`nacked ${this.#nacks}`)
    if (this.#nacks === 1) return new Nack(true)
  }
  @RabbitSubscribe(subscription('failing'))
  @Deduplicated({ key })
  async failing(_event: { order: string }, raw: ConsumeMessage): Promise<void> {
    this.#fail('failing', raw)
  }

  @RabbitSubscribe(subscription('failing-nack', MessageHandlerErrorBehavior.NACK))
  @Deduplicated({ key })
  async failingNack(_event: { order: string }, raw: ConsumeMessage): Promise<void> {
    this.#fail('failing-nack', raw)
  }

  @RabbitSubscribe(subscription('failing-ack', MessageHandlerErrorBehavior.ACK))
  @Deduplicated({ key })
  async failingAck(_event: { order: string }, raw: ConsumeMessage): Promise<void> {
    this.#fail('failing-ack', raw)
  }

  /** Fails each message five times. */
  #fail(name: string, raw: ConsumeMessage): void {
    const line = `${name} ${raw.properties.messageId}`
    this.journal.lines.push(line)
    if (this.journal.lines.filter((each) => each === line).length <= 5) throw new Error('not yet')
  }
}
