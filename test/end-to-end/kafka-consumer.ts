// One member of a group on Kafka. It runs until it is told to stop, its parent is gone, or it is killed.
import { consume } from '@oncemq/kafka'
import type { KafkaClientName } from './kafka-member.ts'
import { memberOf } from './kafka-member.ts'
import type { MongodbAssignment } from './mongodb-worker.ts'
import { runOnMongodb } from './mongodb-worker.ts'
import { assignment } from './worker.ts'

const given = assignment<MongodbAssignment & { readonly client: KafkaClientName }>()
const { topic, url, client } = given

await runOnMongodb(given, async (_, dedup, handler) =>
  consume({ ...memberOf(client, url, topic), topics: [topic], ordering: 'key', dedup, handler }),
)
