// The service as it was, but for what is marked: its handlers do their work once.
import { Controller, Injectable, Module } from '@nestjs/common'
import { Ctx, EventPattern, MessagePattern, Payload } from '@nestjs/microservices'
// #region module
import { createDeduplicator } from '@oncemq/core'
import { Deduplicated, OncemqModule } from '@oncemq/nestjs'
import type { OncemqContext } from '@oncemq/nestjs/rabbitmq'
import { SqliteStore } from '@oncemq/sqlite'

const path = process.env['ONCEMQ_PATH'] ?? 'oncemq.db'
export const deduplicator = createDeduplicator({ store: new SqliteStore({ path }), consumerGroup: 'orders' })
// #endregion

// #region handlers
interface Order {
  id: string
  cents: number
}

@Controller()
export class OrdersController {
  @EventPattern<string>('order.paid')
  onPaid(@Payload() order: Order, @Ctx() context: OncemqContext): void {
    console.log(`shipped ${order.id}, idempotency key ${context.run.key}`)
  }

  @MessagePattern<string>('order.price')
  price(@Payload() order: Order): { cents: number } {
    console.log(`priced ${order.id}`)
    return { cents: order.cents }
  }
}
// #endregion

// #region webhook
@Injectable()
export class Webhooks {
  @Deduplicated({ key: (event: { id: string }) => event.id, result: true })
  async onRefund(event: { id: string; order: string }): Promise<string> {
    console.log(`refunded ${event.order}`)
    return `refund of ${event.order}`
  }
}
// #endregion

// #region imports
@Module({
  imports: [OncemqModule.forRoot({ deduplicator })],
  controllers: [OrdersController],
  providers: [Webhooks],
})
export class AppModule {}
// #endregion
