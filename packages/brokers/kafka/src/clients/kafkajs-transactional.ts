import type { Clock } from '@oncemq/core/broker'
import { backoffMs, pause } from '@oncemq/core/broker'
import type { RawProducer, RawTransaction } from './kafkajs-producer.ts'
import { ALL, connecting, GZIP, NONE } from './kafkajs-producer.ts'
import type { RawAdmin, RawKafka } from './kafkajs-raw.ts'
import type {
  FencedProducer,
  PartitionOffsets,
  ProducerTransaction,
  TopicPartition,
  TransactionClient,
  TransactionFault,
} from './port.ts'

/** A transaction waits for the one before it to be written down, which takes milliseconds. */
const RETRY = { initialRetryTime: 10, maxRetryTime: 1000, retries: 10 }

/** Until what ended the transaction before is written down everywhere. */
const CONCURRENT_BACKOFF = { firstMs: 5, factor: 2, maxMs: 200 }
const CONCURRENT_TRIES = 50

export function kafkajsTransactions(client: RawKafka, clock: Clock): TransactionClient {
  return {
    producer(transactionalId, transactionTimeout) {
      // What a transaction sends is idempotent by itself; the client's option of that name is for the rest.
      const only = { maxInFlightRequests: 1, transactionTimeout, retry: RETRY }
      return kafkajsTransactional(
        client.producer({ allowAutoTopicCreation: false, transactionalId, ...only }),
        clock,
      )
    },
    async offsets(groupId, place) {
      const admin = client.admin()
      try {
        await admin.connect()
        return await offsetsOf(admin, groupId, place)
      } finally {
        await admin.disconnect().catch(() => undefined)
      }
    },
  }
}

function kafkajsTransactional(producer: RawProducer, clock: Clock): FencedProducer {
  const connected = connecting(producer)
  return {
    async begin(): Promise<ProducerTransaction> {
      await connected()
      return transactionOf(await producer.transaction(), clock)
    },
    faultOf,
    close: () => producer.disconnect().catch(() => undefined),
  }
}

function transactionOf(transaction: RawTransaction, clock: Clock): ProducerTransaction {
  const outputs = new Map<string, TopicPartition>()
  return {
    get outputs() {
      return [...outputs.values()]
    },
    async send(topic, messages, { compressed } = { compressed: false }) {
      const compression = compressed ? GZIP : NONE
      const written = await transaction.send({ topic, acks: ALL, compression, messages })
      for (const { partition } of written) outputs.set(`${topic}/${partition}`, { topic, partition })
    },
    async include(places) {
      for (const place of places) await include(transaction, place)
    },
    async sendOffsets(consumerGroupId, offsets) {
      const topics = offsets.map(({ topic, ...partition }) => ({ topic, partitions: [partition] }))
      // The client repeats this for what is sent, and not for offsets.
      for (let tries = 1; ; tries += 1) {
        try {
          return await transaction.sendOffsets({ consumerGroupId, topics })
        } catch (error) {
          if (tries === CONCURRENT_TRIES || faultOf(error).name !== 'CONCURRENT_TRANSACTIONS') throw error
          await pause(clock, backoffMs(CONCURRENT_BACKOFF, tries - 1))
        }
      }
    },
    commit: () => transaction.commit(),
    abort: () => transaction.abort(),
  }
}

/**
 * The client has no call for this. It includes a partition before it looks at the headers of what is to be
 * written there, which are none that could be: so nothing is. It logs that, as if it were a fault.
 */
async function include(transaction: RawTransaction, { topic, partition }: TopicPartition): Promise<void> {
  let isIncluded = false
  const message = {
    partition,
    value: null,
    get headers(): never {
      isIncluded = true
      throw new Error('oncemq ends a transaction once more here, and sends nothing: no fault')
    },
  }
  try {
    await transaction.send({ topic, acks: ALL, compression: NONE, messages: [message] })
  } catch (error) {
    // Where nothing can be written to any more, nothing has to be ended for anybody.
    if (!isIncluded && faultOf(error).kind !== 'refused') throw error
  }
}

/** Codes that the client knows no name for. */
const NAMES = new Map([
  ['Unknown error code 90', 'PRODUCER_FENCED'],
  ['Unknown error code 120', 'TRANSACTION_ABORTABLE'],
])

const FENCED = new Set([
  'INVALID_PRODUCER_EPOCH',
  'PRODUCER_FENCED',
  'TRANSACTION_ABORTABLE',
  'INVALID_TXN_STATE',
  'INVALID_PRODUCER_ID_MAPPING',
  'UNKNOWN_PRODUCER_ID',
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'DUPLICATE_SEQUENCE_NUMBER',
  'TRANSACTION_COORDINATOR_FENCED',
])

const PASSING = new Set([
  'CONCURRENT_TRANSACTIONS',
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_FOR_PARTITION',
  'REQUEST_TIMED_OUT',
  'BROKER_NOT_AVAILABLE',
  'REPLICA_NOT_AVAILABLE',
  'NETWORK_EXCEPTION',
  'GROUP_LOAD_IN_PROGRESS',
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'NOT_COORDINATOR_FOR_GROUP',
  'NOT_ENOUGH_REPLICAS',
  'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  'KAFKA_STORAGE_ERROR',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_LEADER_EPOCH',
  'UNSTABLE_OFFSET_COMMIT',
])

/** The client's own errors that will be the same again. The others of its own are about connections. */
const FINAL = new Set([
  'KafkaJSNotImplemented',
  'KafkaJSServerDoesNotSupportApiKey',
  'KafkaJSSASLAuthenticationError',
  'KafkaJSUnsupportedMagicByteInMessageSet',
  'KafkaJSInvariantViolation',
])
/** In these it wraps what has happened. */
const WRAPPERS = new Set(['KafkaJSNonRetriableError', 'KafkaJSNumberOfRetriesExceeded'])
const CAUSES_MAX = 8

function faultOf(error: unknown): TransactionFault {
  const causes: Error[] = []
  for (let next = error; next instanceof Error && causes.length < CAUSES_MAX; next = next.cause)
    causes.push(next)
  for (const cause of causes) {
    const type = typeOf(cause)
    if (type !== undefined) return { kind: kindOf(type), name: type }
  }
  const own = causes.find(({ name }) => name.startsWith('KafkaJS') && !WRAPPERS.has(name))
  if (own !== undefined) return { kind: FINAL.has(own.name) ? 'refused' : 'unavailable', name: own.name }
  return { kind: 'refused', name: causes.at(-1)?.name ?? typeof error }
}

function typeOf(error: Error): string | undefined {
  const { type } = error as { type?: unknown }
  return error.name === 'KafkaJSProtocolError' && typeof type === 'string'
    ? (NAMES.get(error.message) ?? type)
    : undefined
}

function kindOf(type: string): TransactionFault['kind'] {
  if (FENCED.has(type)) return 'fenced'
  return PASSING.has(type) ? 'unavailable' : 'refused'
}

async function offsetsOf(
  admin: RawAdmin,
  groupId: string,
  { topic, partition }: TopicPartition,
): Promise<PartitionOffsets> {
  const isIt = (each: { readonly partition: number }): boolean => each.partition === partition
  const [group] = await admin.fetchOffsets({ groupId, topics: [topic] })
  const { offset = '-1', metadata = null } = group?.partitions.find(isIt) ?? {}
  const { low = '0', high = '0' } = (await admin.fetchTopicOffsets(topic)).find(isIt) ?? {}
  // The client itself commits what is no offset, where it begins anew.
  const isOne = !offset.startsWith('-')
  const committed = isOne ? { offset: BigInt(offset), metadata: metadata ?? '' } : undefined
  return { committed, low: BigInt(low), high: BigInt(high) }
}
