import { MessageHandlerErrorBehavior, Nack, RabbitSubscribe } from '@golevelup/nestjs-rabbitmq'
import { Injectable } from '@nestjs/common'
import { Deduplicated } from '@oncemq/nestjs'
import type { ConsumeMessage } from 'amqplib'
import { Journal } from './orders.controller'

const queue = process.env.QUEUE ?? 'orders'
const subscription = (name: string) => ({
  exchange: `${queue}.events`,
  routingKey: name,
  queue: `${queue}.${name}`,
  queueOptions: { durable: true, autoDelete: true },
  errorBehavior: MessageHandlerErrorBehavior.REQUEUE,
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
}
