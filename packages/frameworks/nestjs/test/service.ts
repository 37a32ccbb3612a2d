// A service as `application.ts` has its controller, on a queue of its own, with Nest's own client.
import { Controller } from '@nestjs/common'
import type { Type } from '@nestjs/common'
import { RmqRecordBuilder } from '@nestjs/microservices'
import { createDeduplicator, MemoryStore } from '@oncemq/core'
import { connect } from 'amqplib'
import { onTestFinished } from 'vitest'
import { OncemqModule } from '../src/index.ts'
import { client, controllerOf, microservice, moduleOf } from './application.ts'
import type { Handle } from './application.ts'

const WAIT_MS = 15_000
export const queueOptions = { durable: true }

export async function until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + WAIT_MS
  while (!(await look())) {
    if (performance.now() > endMs) throw new Error(`waited ${WAIT_MS} ms for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

export const withId = (data: unknown, messageId: string) =>
  new RmqRecordBuilder(data).setOptions({ messageId }).build()

interface More {
  /** In place of the one with the handlers. */
  readonly controllers?: readonly Type[]
  /** Options of the deduplicator. */
  readonly dedup?: object
  /** Options of the server. */
  readonly server?: object
  /** Options of the client. */
  readonly client?: object
}

export function servicesOf(url: string) {
  let queues = 0
  return async function service(handlers: { onPaid?: Handle; price?: Handle } = {}, more: More = {}) {
    const queue = `nest-${process.pid}-${Date.now()}-${(queues += 1)}`
    const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'nest', ...more.dedup })
    for (const each of more.controllers ?? []) Controller()(each)
    const controllers = [...(more.controllers ?? [controllerOf(handlers)])]
    const module = moduleOf([OncemqModule.forRoot({ deduplicator: dedup })], controllers)
    const connection = await connect(url)
    onTestFinished(() => connection.close())
    const counts = async (name: string): Promise<number> => {
      const channel = await connection.createChannel()
      const { messageCount } = await channel.assertQueue(name, queueOptions)
      await channel.close()
      return messageCount
    }
    /** The headers of the message that is parked, once it is. */
    const parked = async (): Promise<unknown> => {
      await until('parked', async () => (await counts(`${queue}.parked`)) === 1)
      const message = await (await connection.createChannel()).get(`${queue}.parked`, { noAck: true })
      return message !== false && message.properties.headers
    }
    const options = { queue, queueOptions, dedup, retry: { firstMs: 20 }, ...more.server }
    const app = await microservice(module, { connect: () => connect(url), ...options })
    return { app, dedup, queue, connection, counts, parked, sender: await client(url, queue, more.client) }
  }
}
