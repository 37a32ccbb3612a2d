import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { connect } from 'amqplib'
import type { ChannelModel } from 'amqplib'
import { AmqpBroker } from './amqp-broker.ts'
import type { DemoBroker, RunningService, ServicePlan } from './demo-broker.ts'
import { Failure, reasonOf } from './failure.ts'
import type { Assignment } from './payment-service-process.ts'

const SERVICE = fileURLToPath(new URL('payment-service-process.ts', import.meta.url))
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
      startService: (plan) => startProcess({ url, plan }),
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

async function startProcess(assignment: Assignment & { plan: ServicePlan }): Promise<RunningService> {
  const child = fork(SERVICE, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const exited = once(child, 'exit').then(() => undefined)
  child.send(assignment)
  await Promise.race([once(child, 'message'), exited.then(() => Promise.reject(diedAtStart(child)))])
  return {
    ended: exited,
    async stop() {
      if (child.connected) child.send('stop')
      await exited
    },
  }
}

function diedAtStart({ exitCode, signalCode }: ChildProcess): Failure {
  const end = signalCode ?? `exit code ${exitCode}`
  return new Failure(
    `the payment service: expected it to start, received its end (${end}); what it printed says why`,
  )
}
