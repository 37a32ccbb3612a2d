import type { Deduplicator } from '@oncemq/core'
import type { Consumer } from '@oncemq/core/broker'
import { ManagedConsumer, untilLost } from '@oncemq/core/broker'
import type { KafkaClient, KafkaMessage } from './client.ts'
import { clientOf, memberOf, producerOf } from './clients/given.ts'
import type { ClientPort, GroupMember, RecordProducer } from './clients/port.ts'
import type { GroupServices } from './group-source.ts'
import { GroupSource } from './group-source.ts'
import type { ConsumeOptions } from './options.ts'
import { Parking } from './parking.ts'
import type { ConsumeSettings } from './settings.ts'
import { consumeSettings } from './settings.ts'
import { prepareTopics } from './topics.ts'

/** Records wait in their partition, of which a bounded number is held. */
const WINDOW = 65_536

/**
 * Consumes as a member of a group: each record is claimed, handled once, recorded, and its offset committed
 * when all before it are settled, too. What happens to a delivery is told in the table of this package's
 * README.
 *
 * @throws OptionError for an option that is wrong; OncemqError for a store that is set up wrongly, and
 *   `ONCEMQ_CONSUMER_UNSAFE` for a topic that is missing, or a right.
 * @example
 * const consumer = await consume({ client: new Kafka({ brokers }), topics: ['orders'], dedup,
 *   handler: async (message, { key, signal }) => { await charge(message, { key, signal }) } })
 */
export async function consume<Tx = undefined>(options: ConsumeOptions<Tx>): Promise<Consumer> {
  const settings = consumeSettings(options)
  const { dedup, handler, key, middlewares, retry, concurrency, onEnd } = settings
  return ManagedConsumer.start<Tx, KafkaMessage>({
    dedup,
    source: new GroupSource(servicesOf(settings)),
    key,
    middlewares,
    retry,
    concurrency,
    onEnd,
    window: WINDOW,
    givesPositions: true,
    // The client stays in its group for as long as a record is held.
    holdMs: Number.POSITIVE_INFINITY,
    async handler(held, context) {
      await untilLost(held.signal, context.signal, async (signal) =>
        handler(held.message, { ...context, signal }),
      )
      return undefined
    },
  })
}

function servicesOf<Tx>(settings: ConsumeSettings<Tx>): GroupServices {
  const { topics, parkingTopic, fromBeginning, ordering } = settings
  const dedup = settings.dedup as unknown as Deduplicator<never>
  const { client, member, producer } = partsOf(settings)
  const parking = new Parking(producer, parkingTopic, dedup)
  const prepare = async (): Promise<void> => {
    if (client !== undefined) await prepareTopics(client.admin(), topics, parkingTopic)
  }
  return { member, producer, parking, dedup, topics, fromBeginning, ordering, prepare }
}

interface Parts {
  readonly client: ClientPort | undefined
  readonly member: GroupMember
  readonly producer: RecordProducer
}

/** Either the user's own, or made with the user's client. */
function partsOf<Tx>({ client: given, consumer, producer, dedup }: ConsumeSettings<Tx>): Parts {
  const { clock, consumerGroup } = dedup.settings
  if (consumer !== undefined && producer !== undefined) {
    return { client: undefined, member: memberOf(consumer, clock), producer: producerOf(producer) }
  }
  const client = clientOf(given as KafkaClient, clock)
  return { client, member: client.member(consumerGroup), producer: client.producer() }
}
