// A microservice alone, that is told to stop while it works.
import { Controller, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { Ctx, EventPattern } from '@nestjs/microservices'
import { createDeduplicator } from '@oncemq/core'
import { OncemqModule } from '@oncemq/nestjs'
import { OncemqContext, OncemqRmqServer } from '@oncemq/nestjs/rabbitmq'
import { SqliteStore } from '@oncemq/sqlite'
import { connect } from 'amqplib'
import type { DatabaseSync } from 'node:sqlite'

const dedup = createDeduplicator({
  store: new SqliteStore({ path: process.env.ONCEMQ_PATH ?? '' }),
  consumerGroup: 'worker',
  strategy: 'transactional',
})

@Controller()
class Slow {
  @EventPattern('slow')
  async onSlow(@Ctx() { run }: OncemqContext<DatabaseSync>): Promise<void> {
    console.log('started')
    await new Promise((resolve) => process.once('SIGTERM', () => setTimeout(resolve, 100)))
    run.tx.exec('CREATE TABLE effects (id TEXT)')
    console.log('ended')
  }
}

@Module({ imports: [OncemqModule.forRoot({ deduplicator: dedup })], controllers: [Slow] })
class WorkerModule {}

async function bootstrap(): Promise<void> {
  const app = await NestFactory.createMicroservice(WorkerModule, {
    strategy: new OncemqRmqServer({
      connect: () => connect(process.env.AMQP_URL ?? ''),
      queue: process.env.QUEUE ?? '',
      queueOptions: { durable: true },
      dedup,
    }),
    logger: ['error'],
  })
  app.enableShutdownHooks()
  await app.listen()
  console.log('listening')
}

void bootstrap()
