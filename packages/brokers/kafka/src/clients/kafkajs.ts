import { OptionError } from '@oncemq/core'
import type { Clock } from '@oncemq/core/broker'
import { errorNameOf } from '@oncemq/core/broker'
import { kafkajsMember } from './kafkajs-member.ts'
import { kafkajsProducer } from './kafkajs-producer.ts'
import type { RawAdmin, RawKafka } from './kafkajs-raw.ts'
import type { ClientPort, NewTopic, TopicAdmin } from './port.ts'

/** How soon a partition that was full is fetched again. */
const FETCH_WAIT_MS = 500
/** More than the client's own, so that the end of a transaction is mostly in the fetch of its records. */
const PARTITION_BYTES_MAX = 4 * 1_048_576
const FETCHING = { maxWaitTimeInMs: FETCH_WAIT_MS, maxBytesPerPartition: PARTITION_BYTES_MAX }
const TOPIC = 2

/** kafkajs, and clients with its API. */
export function kafkajs(client: RawKafka, clock: Clock): ClientPort {
  return {
    member: (groupId) =>
      kafkajsMember(
        made(() => client.consumer({ groupId, ...FETCHING })),
        clock,
      ),
    producer: () => kafkajsProducer(made(() => client.producer({ allowAutoTopicCreation: false }))),
    admin: () => kafkajsAdmin(client.admin()),
  }
}

/** A client that looks like kafkajs may take other options. @throws OptionError when it does. */
function made<Part>(make: () => Part): Part {
  try {
    return make()
  } catch (error) {
    throw new OptionError(
      'client: expected one that takes the options of kafkajs, received its refusal ' +
        `(${errorNameOf(error)}); ` +
        'pass kafkajs or @platformatic/kafka',
    )
  }
}

export function kafkajsAdmin(admin: RawAdmin): TopicAdmin {
  return {
    connect: () => admin.connect(),
    topics: async () => new Set(await admin.listTopics()),
    async config(name, configName) {
      const resources = [{ type: TOPIC, name, configNames: [configName] }]
      const answer = await admin.describeConfigs({ includeSynonyms: false, resources })
      return answer.resources[0]?.configEntries.find((entry) => entry.configName === configName)?.configValue
    },
    async create(topics: readonly NewTopic[]) {
      const raw = topics.map(({ topic, config }) => ({
        topic,
        configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
      }))
      // The client's own wait for their leaders fails on a broker that makes topics in the background.
      await admin.createTopics({ topics: raw, waitForLeaders: false })
    },
    isAnswer(error) {
      const { name, errors } = error as { name?: unknown; errors?: unknown }
      return name === 'KafkaJSProtocolError' || Array.isArray(errors)
    },
    close: () => admin.disconnect().catch(() => undefined),
  }
}
