// The payment service as a process of its own, so that it can be killed with -9. Its parent sends the plan.
import type { Socket } from 'node:net'
import type { ChannelModel } from 'amqplib'
import { connect } from 'amqplib'
import { systemClock } from '@oncemq/core/store'
import type { Place } from './amqp-service.ts'
import { startAmqpService } from './amqp-service.ts'
import type { RunningService, ServicePlan } from './demo-broker.ts'
import { reasonOf } from './failure.ts'
import { killOwnProcess } from './payment-service.ts'

/** What the parent sends, once. */
export interface Assignment {
  readonly url: string
  readonly plan: ServicePlan
}

function ownProcess(url: string): Place {
  return {
    clock: systemClock,
    connect: () => connect(url),
    crash: killOwnProcess,
    cut: (connection) => socketOf(connection).destroy(new Error('cut')),
  }
}

// amqplib's types leave the socket out; to pull the plug is nobody's ordinary wish.
function socketOf({ connection }: ChannelModel): Socket {
  return (connection as unknown as { stream: Socket }).stream
}

async function start({ url, plan }: Assignment): Promise<RunningService> {
  switch (new URL(url).protocol) {
    case 'rocketmq:': {
      const { startRocketmqService } = await import('./rocketmq-service.ts')
      return startRocketmqService(plan, url)
    }
    case 'kafka:': {
      const { startKafkaService } = await import('./kafka-service.ts')
      return startKafkaService(plan, url)
    }
    default:
      return startAmqpService(plan, ownProcess(url))
  }
}

async function run({ url, plan }: Assignment): Promise<void> {
  const service = await start({ url, plan })
  process.once('message', () => void service.stop().then(() => process.disconnect()))
  process.send?.('started')
  await service.ended
  // After a broken connection nothing else is of use here: whoever runs the service starts it again.
  if (process.connected && plan.fault === 'ack-lost') process.disconnect()
}

process.once('message', (assignment: Assignment) => {
  run(assignment).catch((error: unknown) => {
    console.error(`the payment service: ${reasonOf(error)}`)
    process.exit(1)
  })
})
process.once('disconnect', () => process.exit())
