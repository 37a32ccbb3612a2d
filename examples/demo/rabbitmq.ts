import { connect } from 'amqplib'
import type { ChannelModel } from 'amqplib'
import { AmqpBroker } from './amqp-broker.ts'
import type { DemoBroker } from './demo-broker.ts'
import { Failure, reasonOf } from './failure.ts'
import { startServiceProcess } from './service-process.ts'

const CONNECT_TIMEOUT_MS = 5000

/** A RabbitMQ at `url`. Each service is a process of its own. @throws Failure when it cannot be reached. */
export async function openRabbitmq(url: string, closed?: () => Promise<void>): Promise<DemoBroker> {
  const connection = await reach(url)
  connection.on('error', () => undefined)
  return new AmqpBroker(
    {
      name: 'rabbitmq',
      description: `RabbitMQ ${connection.connection.serverProperties.version} at ${new URL(url).host}`,
      crash: 'the process is killed with -9',
      connection,
      startService: (plan) => startServiceProcess({ url, plan }),
      ...(closed && { closed }),
    },
    await connection.createConfirmChannel(),
  )
}

async function reach(url: string): Promise<ChannelModel> {
  try {
    return await connect(url, { timeout: CONNECT_TIMEOUT_MS })
  } catch (error) {
    // The host alone: the URL may hold a password.
    throw new Failure(
      `--broker: expected a RabbitMQ that lets us in at ${new URL(url).host}, received ${reasonOf(error)}; ` +
        `see that it runs and that user and password are right, or leave --broker out for the embedded one`,
      { cause: error },
    )
  }
}
