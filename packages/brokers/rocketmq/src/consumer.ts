import type { Deduplicator } from '@oncemq/core'
import type { Consumer } from '@oncemq/core/broker'
import { ManagedConsumer } from '@oncemq/core/broker'
import type { RawConsumer, RocketmqMessage } from './client.ts'
import type { ConsumeOptions } from './options.ts'
import { Parking } from './parking.ts'
import { PollingSource } from './polling-source.ts'
import { consumeSettings } from './settings.ts'

/**
 * How many messages are held, those that wait included: FIFO messages wait here, and with them what came
 * after them in their group. A queue gives no further ones meanwhile, so this many groups that fail stop no
 * other.
 */
const WINDOW_PER_HANDLER = 16
const WINDOW_MIN = 128

/**
 * Consumes with a SimpleConsumer: each message is received, claimed, handled once, recorded and acked. What
 * happens to a delivery is told in the table of this package's README.
 *
 * A store or a server that is down at start is told and tried again until it is up; `close()` ends that too.
 * @throws OptionError for an option that is wrong; OncemqError for a store that is set up wrongly, and for a
 * topic or consumer group that does not exist or is refused.
 * @example
 * const consumer = await consume({ consumer: new SimpleConsumer({ ... }), dedup,
 *   handler: async (message, { key, signal }) => { await charge(message, { key, signal }) } })
 */
export async function consume<Tx = undefined>(options: ConsumeOptions<Tx>): Promise<Consumer> {
  const { consumer: client, dedup: given, handler, invisibleMs, ...settings } = consumeSettings(options)
  const consumer = client as unknown as RawConsumer
  const dedup = given as unknown as Deduplicator<never>
  const parking = new Parking(settings, dedup)
  const source = new PollingSource({ consumer, dedup, parking, invisibleMs })
  const { key, middlewares, retry, concurrency, onEnd } = settings
  return ManagedConsumer.start<Tx, RocketmqMessage>({
    dedup: given,
    source,
    key,
    middlewares,
    retry,
    concurrency,
    onEnd,
    window: Math.max(WINDOW_PER_HANDLER * concurrency, WINDOW_MIN),
    // A message is renewed for as long as it is held, and each delivery costs one of its group's attempts.
    holdMs: Number.POSITIVE_INFINITY,
    async handler(held, context) {
      await handler(held.message, context)
      return undefined
    },
  })
}
