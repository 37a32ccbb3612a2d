import type { HandlerContext, ProcessOutcome } from '@oncemq/core'
import type { Consumer } from '@oncemq/core/broker'
import { errorNameOf, ManagedConsumer, untilLost } from '@oncemq/core/broker'
import type { AmqpMessage } from './amqp.ts'
import { channelSource } from './channel-source.ts'
import type { Delivery } from './delivery.ts'
import type { ConsumeOptions } from './options.ts'
import { encodeReply } from './replies.ts'
import { QueueSource } from './session.ts'
import type { ConsumeSettings } from './settings.ts'
import { consumeSettings, followsLog, holdMsOf } from './settings.ts'

/**
 * Consumes a queue: each message is claimed, handled once, recorded and settled. What happens to a delivery
 * is told in the table of this package's README.
 *
 * A store or a broker that is down at start is told and tried again until it is up; `close()` ends that too.
 * @throws OptionError for an option that is wrong; OncemqError for a queue that does not exist or is refused,
 * or a store that is set up wrongly.
 * @example
 * const consumer = await consume({ connection, queue: 'payments', dedup,
 *   handler: async (message, { key, signal }) => { await charge(message, { key, signal }) } })
 */
export async function consume<Tx = undefined, Message extends AmqpMessage = AmqpMessage>(
  options: ConsumeOptions<Tx, Message>,
): Promise<Consumer> {
  const settings = consumeSettings(options as unknown as ConsumeOptions<Tx>)
  const { dedup, key, middlewares, onEnd, prefetch, replayResult, retry } = settings
  const isStream = followsLog(settings)
  return ManagedConsumer.start<Tx, AmqpMessage>({
    dedup,
    source: new QueueSource(
      settings,
      channelSource(settings as unknown as ConsumeSettings<never>, dedup.settings.clock),
    ),
    key,
    handler: (held, context) => {
      const run = (given: typeof context) => handle(held as Delivery, given, settings)
      if (!isStream) return run(context)
      // Another worker may have a stream's message while this one runs.
      return untilLost(held.signal, context.signal, (signal) => run({ ...context, signal }))
    },
    onSuccess: (held, outcome) => reply(held as Delivery, outcome, replayResult),
    middlewares,
    retry,
    window: prefetch,
    concurrency: prefetch,
    givesPositions: isStream,
    // What a stream's message waits for, it waits for in its order.
    holdMs: isStream ? Number.POSITIVE_INFINITY : holdMsOf(settings),
    replaysResults: replayResult,
    onEnd,
  })
}

async function handle<Tx>(
  delivery: Delivery,
  context: HandlerContext<Tx>,
  { dedup, handler, replayResult }: ConsumeSettings<Tx>,
): Promise<Uint8Array | undefined> {
  const answer = await handled(delivery, () => handler(delivery.message, context))
  if (delivery.arrival.properties.replyTo === undefined) return undefined
  try {
    delivery.reply = encodeReply(answer)
  } catch (error) {
    // The work is done: that its answer cannot be sent is no reason to do it again.
    dedup.warn(`a reply was not sent: it cannot be JSON (${errorNameOf(error)})`)
  }
  return replayResult ? delivery.reply : undefined
}

async function handled<Answer>(delivery: Delivery, work: () => Promise<Answer> | Answer): Promise<Answer> {
  try {
    return await work()
  } catch (error) {
    delivery.thrown = error
    throw error
  }
}

async function reply(delivery: Delivery, outcome: ProcessOutcome, replayResult: boolean): Promise<void> {
  const kept = outcome.status === 'duplicate' && replayResult ? outcome.result : undefined
  const encoded = delivery.reply ?? kept
  if (encoded !== undefined) await delivery.answer(encoded)
}
