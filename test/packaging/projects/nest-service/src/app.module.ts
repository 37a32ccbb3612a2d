import { RabbitMQModule } from '@golevelup/nestjs-rabbitmq'
import { Module } from '@nestjs/common'
import { TerminusModule } from '@nestjs/terminus'
import { createDeduplicator } from '@oncemq/core'
import { OncemqModule } from '@oncemq/nestjs'
import { SqliteStore } from '@oncemq/sqlite'
import { Journal, OrdersController, ScopedController } from './orders.controller'
import { Subscriber } from './subscriber'
import { CardsController, HealthController, TransfersController } from './webhooks.controller'

export const path = process.env.ONCEMQ_PATH ?? 'oncemq.db'
export const queue = process.env.QUEUE ?? 'orders'
export const url = process.env.AMQP_URL ?? 'amqp://127.0.0.1:5672'

export const deduplicator = createDeduplicator({
  store: new SqliteStore({ path }),
  consumerGroup: 'orders',
  attemptsMax: 2,
  busyTimeoutMs: 200,
})

@Module({
  imports: [
    OncemqModule.forRoot({ deduplicator }),
    RabbitMQModule.forRoot({
      uri: url,
      exchanges: [{ name: `${queue}.events`, type: 'topic', options: { autoDelete: true } }],
      connectionInitOptions: { wait: true },
    }),
    TerminusModule,
  ],
  controllers: [OrdersController, ScopedController, CardsController, TransfersController, HealthController],
  providers: [Journal, Subscriber],
})
export class AppModule {}
