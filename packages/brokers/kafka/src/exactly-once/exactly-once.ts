import type { StorelessStrategy } from '@oncemq/core'
import { OncemqError } from '@oncemq/core'
import type { TakenLog } from '@oncemq/core/broker'
import { systemClock } from '@oncemq/core/broker'
import { transactionsOf } from '../clients/given.ts'
import type { Endings } from './endings.ts'
import { errorOf } from './fault.ts'
import type { ExactlyOnceOptions, ExactlyOnceSettings } from './options.ts'
import { exactlyOnceSettings } from './options.ts'
import { PartitionLog } from './partition-log.ts'
import { Runs } from './runs.ts'
import type { KafkaTransaction } from './transaction.ts'

/**
 * For handlers whose effects are records in Kafka: what a handler sends with `context.tx` and the offset of
 * its record commit in one transaction of Kafka, or neither does. Readers with `read_committed`, the default
 * of most clients, see each output once, whichever worker is killed when. No record is kept of any message,
 * and no store is needed.
 *
 * Each partition has a producer with a transactional id of its own: whoever gets the partition fences who had
 * it, and looks at its offset after that. So a process that slept through a rebalance can commit nothing.
 *
 * What a producer sends again stands in the topic a second time, and is handled a second time: make producers
 * idempotent. Effects outside of Kafka are repeated when the handler runs again.
 * @throws OptionError for an option that is wrong; at start OncemqError `ONCEMQ_CONSUMER_UNSAFE` without the
 *   right to use transactions, and for a consumer that is no `consume` of this package.
 * @example
 * const dedup = createDeduplicator({ consumerGroup: 'billing', strategy: exactlyOnce({ client: kafka }) })
 * await consume({ client: kafka, topics: ['orders'], dedup, handler: async (message, { tx }) => {
 *   await tx.send({ topic: 'receipts', messages: [{ value: receiptFor(message) }] })
 * } })
 */
export function exactlyOnce(options: ExactlyOnceOptions): StorelessStrategy<KafkaTransaction> {
  const settings = exactlyOnceSettings(options)
  const { batchMax, transactionTimeoutMs } = settings
  const runs = new WeakMap<TakenLog, Runs>()
  const endings: Endings = new Map()
  return {
    name: 'exactlyOnce',
    usesRecords: false,
    allowsDropIn: false,
    needsDurableClaims: false,
    runsWithoutClaim: true,
    needsStore: false,
    // The broker aborts what takes longer than its own bound.
    defaultHandlerTimeoutMs: (leaseMs) => Math.min(leaseMs, Math.floor(transactionTimeoutMs / 2)),
    check: () => undefined,
    prepare: async () => {
      await requireTransactions(settings)
      return []
    },
    followsLog: true,
    async takeLog(
      [, topic = '', partition = ''],
      { fromBeginning, settings: { clock, consumerGroup: groupId } },
    ) {
      const client = transactionsOf(settings.client, clock)
      const place = { groupId, topic, partition: Number(partition) }
      const log = await PartitionLog.take(place, { ...settings, client, clock, fromBeginning, endings })
      runs.set(log, new Runs(log, { batchMax, batchMs: Math.floor(transactionTimeoutMs / 4) }))
      return log
    },
    async run(start, handler, services, { position, passOn }) {
      const ofLog = position && runs.get(position.log)
      if (ofLog === undefined) return { status: 'store-refused', error: withoutPosition() }
      return ofLog.run({ offset: position?.offset ?? 0n, start, handler, services, passOn })
    },
  }
}

/** Asks for a transaction that nobody needs. @throws OncemqError when there is none to be had. */
async function requireTransactions(settings: ExactlyOnceSettings): Promise<void> {
  const client = transactionsOf(settings.client, systemClock)
  const producer = client.producer(`${settings.transactionalId}/start`, settings.transactionTimeoutMs)
  try {
    const transaction = await producer.begin()
    await transaction.abort()
  } catch (error) {
    const fault = producer.faultOf(error)
    // Another process that starts has asked for the same.
    if (fault.kind !== 'fenced' && fault.name !== 'CONCURRENT_TRANSACTIONS') throw errorOf(fault, error)
  } finally {
    await producer.close()
  }
}

function withoutPosition(): OncemqError {
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    "strategy: expected records that were taken by it for 'exactlyOnce', received another message; " +
      'use consume({ ... }) of @oncemq/kafka',
  )
}
