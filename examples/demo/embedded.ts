import type { DatabaseSync } from 'node:sqlite'
import type { ChannelModel } from 'amqplib'
import { connect } from '@onify/fake-amqplib'
import { AmqpBroker } from './amqp-broker.ts'
import type { Place } from './amqp-service.ts'
import { startAmqpService } from './amqp-service.ts'
import type { DemoBroker } from './demo-broker.ts'
import { MortalClock } from './mortal-clock.ts'

const URL = 'amqp://embedded'

/**
 * A broker in this process. It speaks amqplib's language to the real adapter, and gives back what is unacked
 * when a connection breaks, with `redelivered` set, as RabbitMQ does.
 */
export async function openEmbedded(): Promise<DemoBroker> {
  const connection = await connect(URL)
  return new AmqpBroker(
    {
      name: 'embedded',
      description: 'a broker in this process (@onify/fake-amqplib)',
      crash: 'connection, database handle and timers go at once, which stands for kill -9 here',
      connection,
      startService: (plan) => startAmqpService(plan, thisProcess()),
    },
    await connection.createConfirmChannel(),
  )
}

/** A process cannot be killed without its neighbours, so what its death would end is ended here. */
function thisProcess(): Place {
  const clock = new MortalClock()
  return {
    clock,
    connect: () => connect(URL),
    async crash(connection: ChannelModel, books: DatabaseSync): Promise<never> {
      clock.die()
      if (books.isOpen) books.close()
      await connection.close()
      return new Promise(() => undefined)
    },
    cut: (connection) => void connection.close(),
  }
}
