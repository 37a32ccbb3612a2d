// One member of a group on Kafka. It runs until it is told to stop, its parent is gone, or it is killed.
import { consume } from '@oncemq/kafka'
import { clientOf } from './kafka-topic.ts'
import type { MongodbAssignment } from './mongodb-worker.ts'
import { runOnMongodb } from './mongodb-worker.ts'
import { assignment } from './worker.ts'

/** How soon a killed member is no member any more. */
const SESSION_MS = 3000
const HEARTBEAT_MS = 500
const FETCH_WAIT_MS = 200

const given = assignment<MongodbAssignment>()
const { topic, url } = given

await runOnMongodb(given, async (_, dedup, handler) => {
  const kafka = clientOf(url)
  const times = {
    sessionTimeout: SESSION_MS,
    heartbeatInterval: HEARTBEAT_MS,
    maxWaitTimeInMs: FETCH_WAIT_MS,
  }
  const clients = { consumer: kafka.consumer({ groupId: topic, ...times }), producer: kafka.producer() }
  return consume({ ...clients, topics: [topic], ordering: 'key', dedup, handler })
})
