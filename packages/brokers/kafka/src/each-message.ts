import type { Deduplicator, HandlerContext } from '@oncemq/core'
import { DeliveryLoop, processing, requireDeduplicator } from '@oncemq/core/broker'
import type { EachMessage, KafkaMessage } from './client.ts'
import { messageOf } from './client.ts'
import { producerOf } from './clients/given.ts'
import { isTransactional } from './clients/kafkajs-records.ts'
import { ConsumedMessage } from './consumed-message.ts'
import { beating } from './heartbeat.ts'
import type { DedupEachMessageOptions } from './options.ts'
import { givenBack } from './given-back.ts'
import { arrivalOf } from './parked-copy.ts'
import { Parking } from './parking.ts'
import { dedupEachMessageSettings } from './settings.ts'

/** The client hands over one record of a partition at a time. */
const WINDOW = 65_536
const NEVER = new AbortController().signal
const TRANSACTIONAL =
  'dedupEachMessage: expected records that no transaction has written, received one of a transaction; ' +
  'kafkajs hands over some that were aborted, which only consume and dedupEachBatch leave out'

/**
 * Wraps the `eachMessage` of a consumer, so that it is called once per record:
 *
 * - duplicates are passed over without it; when it returns, the record is recorded as done, and the client
 *   commits its offset;
 * - what it throws lets the record be tried again here, after a while; a `PermanentError`, or attempts that
 *   are used up, send it to the topic of dead letters;
 * - a record that is tried again, is busy elsewhere, or has no answer from the store, waits here, and the
 *   heart goes on beating, so that no rebalance is caused;
 * - a record of a transaction causes one warning: kafkajs hands over some that were aborted, and a record
 *   alone does not say whether it was;
 * - when the group rebalances meanwhile, the member joins it again at once. What runs goes on under its
 *   claim, and whoever gets the record next waits for it.
 *
 * @throws OptionError for an option that is wrong.
 * @example
 * await consumer.run({ eachMessage: dedupEachMessage(handle, dedup, { producer }) })
 */
export function dedupEachMessage<Payload extends EachMessage, Tx = undefined>(
  handler: (payload: Payload, context: HandlerContext<Tx>) => unknown,
  dedup: Deduplicator<Tx>,
  options: DedupEachMessageOptions,
): (payload: Payload) => Promise<void> {
  requireDeduplicator('dedupEachMessage', dedup)
  const { key, retry, producer, parkingTopic, signal } = dedupEachMessageSettings(handler, options)
  const anyDedup = dedup as unknown as Deduplicator<never>
  const { clock, onUnconfirmed } = dedup.settings
  const parking = new Parking(producerOf(producer), parkingTopic, anyDedup)
  const loop = new DeliveryLoop<KafkaMessage>({
    dedup: anyDedup,
    key,
    policy: { retry, onUnconfirmed },
    window: WINDOW,
    concurrency: WINDOW,
    holdMs: Number.POSITIVE_INFINITY,
  })
  const stop = (): void => loop.stop()
  signal?.addEventListener('abort', stop, { once: true })
  if (signal?.aborted === true) stop()

  let hasWarned = false
  async function handle(payload: Payload): Promise<void> {
    if (!hasWarned && isTransactional(payload.message)) {
      hasWarned = true
      dedup.warn(TRANSACTIONAL)
    }
    const message = messageOf(payload.topic, payload.partition, payload.message)
    const arrival = await arrivalOf(message, anyDedup, NEVER)
    return new Promise((resolve, reject) => {
      const held = new ConsumedMessage(arrival, message, 'none', {
        signal: NEVER,
        ack: resolve,
        deadLetter: (of, letter) => parking.park(of, letter),
        giveBack: () => reject(givenBack('dedupEachMessage')),
      })
      const process = processing<Tx, KafkaMessage>({
        dedup,
        middlewares: [],
        handler: async ({ message: copy }, context) => {
          await handler(withCopy(payload, copy), context)
          return undefined
        },
      })
      void loop.run(held, process)
    })
  }

  return async (payload) => {
    const heartbeat = (): Promise<void> => payload.heartbeat()
    await beating(clock, heartbeat, () => handle(payload))
  }
}

/** What the handler does to its record reaches neither a further attempt nor a dead letter. */
function withCopy<Payload extends EachMessage>(payload: Payload, copy: KafkaMessage): Payload {
  const { key, value, headers } = copy
  return { ...payload, message: { ...payload.message, key, value, headers } }
}
