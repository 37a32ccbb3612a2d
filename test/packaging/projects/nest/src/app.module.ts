import { Module } from '@nestjs/common'
import { createDeduplicator } from '@oncemq/core'
import { SqliteStore } from '@oncemq/sqlite'
import { BillingService, DEDUP } from './billing.service'

const dedup = {
  provide: DEDUP,
  useFactory: () =>
    createDeduplicator({ store: new SqliteStore({ path: ':memory:' }), consumerGroup: 'billing' }),
}

@Module({ providers: [dedup, BillingService] })
export class AppModule {}
