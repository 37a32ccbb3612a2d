// A microservice of Nest whose messages come twice, and a webhook that is called twice.
import 'reflect-metadata'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { NestFactory } from '@nestjs/core'
import { ClientProxyFactory, RmqRecordBuilder, Transport } from '@nestjs/microservices'
// #region imports
import { OncemqRmqServer } from '@oncemq/nestjs/rabbitmq'
import { connect } from 'amqplib'
// #endregion
import { firstValueFrom } from 'rxjs'

const url = process.env['ONCEMQ_RABBITMQ_URL'] ?? process.env['AMQP_URL'] ?? 'amqp://127.0.0.1:5672'
const folder = mkdtempSync(join(tmpdir(), 'oncemq-nestjs-'))
const queue = basename(folder)
process.env['ONCEMQ_PATH'] = join(folder, 'oncemq.db')

async function main(): Promise<void> {
  const { AppModule, deduplicator, Webhooks } = await import('./orders.js')
  const queueOptions = { durable: true, arguments: { 'x-queue-type': 'quorum', 'x-expires': 60_000 } }

  // #region server
  const app = await NestFactory.createMicroservice(AppModule, {
    strategy: new OncemqRmqServer({
      connect: () => connect(url),
      queue,
      queueOptions,
      dedup: deduplicator,
    }),
    logger: ['error', 'warn'],
  })
  await app.listen()
  // #endregion

  const client = ClientProxyFactory.create({
    transport: Transport.RMQ,
    options: { urls: [url], queue, queueOptions },
  })

  // #region send
  /** The id is the event's own, so every copy of it has the same. */
  const paid = new RmqRecordBuilder({ id: 'order-7', cents: 995 })
    .setOptions({ messageId: 'order-7:paid' })
    .build()
  // #endregion
  const price = new RmqRecordBuilder({ id: 'order-7', cents: 995 })
    .setOptions({ messageId: 'order-7:price' })
    .build()

  await firstValueFrom(client.emit('order.paid', paid))
  await firstValueFrom(client.emit('order.paid', paid))
  const answers = [
    await firstValueFrom(client.send('order.price', price)),
    await firstValueFrom(client.send('order.price', price)),
  ]
  console.log(answers)

  const webhooks = app.get(Webhooks)
  console.log(await webhooks.onRefund({ id: 'refund-1', order: 'order-7' }))
  console.log(await webhooks.onRefund({ id: 'refund-1', order: 'order-7' }))

  const { completed, duplicate } = deduplicator.counts()
  console.log(`${completed} done, ${duplicate} duplicates`)
  await client.close()
  await app.close()
  rmSync(folder, { recursive: true })
}

void main()
