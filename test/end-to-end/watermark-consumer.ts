// One member of a group on Kafka that follows its logs. It runs until it is told to stop, its parent is gone,
// it is killed, or a poison message ends it.
import { consume } from '@oncemq/kafka'
import { memberOf } from './kafka-member.ts'
import { followLogs, type LogAssignment } from './watermark-worker.ts'
import { assignment } from './worker.ts'

export interface TopicAssignment extends LogAssignment {
  readonly topic: string
}

const given = assignment<TopicAssignment>()
const { topic } = given
const { worker, dedup, handle } = followLogs(topic, given)
const consumer = await consume<unknown>({
  ...memberOf('kafkajs', given.url, topic),
  topics: [topic],
  dedup,
  handler: ({ value }, context) => handle(String(value), context),
})
await worker.serve(consumer, dedup)
