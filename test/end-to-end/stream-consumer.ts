// One worker on a RabbitMQ stream. It runs until it is told to stop, its parent is gone, it is killed, or a
// poison message ends it.
import { connect } from 'amqplib'
import { consume } from '@oncemq/rabbitmq'
import { followLogs, type LogAssignment } from './watermark-worker.ts'
import { assignment } from './worker.ts'

/** How soon one that stands still is taken for dead: after two of them. */
const HEARTBEAT_SECONDS = 1
const PREFETCH = 20

export interface StreamAssignment extends LogAssignment {
  readonly queue: string
}

const given = assignment<StreamAssignment>()
const { queue } = given
const { worker, dedup, handle } = followLogs(queue, given)
const consumer = await consume<unknown>({
  connect: async () => connect(`${given.url}?heartbeat=${HEARTBEAT_SECONDS}`),
  queue,
  dedup,
  prefetch: PREFETCH,
  handler: ({ content }, context) => handle(content.toString(), context),
})
await worker.serve(consumer, dedup)
