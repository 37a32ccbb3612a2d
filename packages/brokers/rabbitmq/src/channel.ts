import type { Deduplicator } from '@oncemq/core'
import { OptionError } from '@oncemq/core'
import { refuseTransactional, requireDeduplicator } from '@oncemq/core/broker'
import type { AmqpChannel, RawChannel } from './amqp.ts'
import type { DedupChannelOptions } from './options.ts'
import { requireChannel } from './given-client.ts'
import { dedupChannelSettings, USE_CONSUME } from './settings.ts'
import { WrappedChannel } from './wrapped-channel.ts'

/**
 * Wraps a channel of amqplib, so that its consumers are given each message once. It has every method of the
 * channel, and code that was written for the channel runs on it unchanged:
 *
 * - a message reaches the callback only when its key is granted; duplicates are acked without it;
 * - `ack` records the message as done, then acks; `nack` and `reject` free its key, then nack. All answer at
 *   once;
 * - `allUpTo`, `ackAll`, `nackAll` and `recover` mean what the callback was given, never what is held;
 * - a message that is not to be processed is parked in `<queue>.parked`, see `onDeadLetter`;
 * - what it publishes under the key of a message that it has not settled yet is a further hop of that
 *   message.
 *
 * @throws OptionError for an option that is wrong; OncemqError `ONCEMQ_CONSUMER_UNSAFE` from a `consume` or
 * `get` with noAck.
 * @example
 * const channel = dedupChannel(await connection.createChannel(), dedup)
 * await channel.consume('payments', async (message) => { await charge(message); channel.ack(message) })
 */
export function dedupChannel<Channel extends AmqpChannel>(
  channel: Channel,
  dedup: Deduplicator,
  options: DedupChannelOptions = {},
): Channel {
  requireChannel('dedupChannel', channel)
  refuseWrapped(channel)
  requireDeduplicator('dedupChannel', dedup)
  refuseTransactional('dedupChannel', dedup, USE_CONSUME)
  const settings = dedupChannelSettings(options)
  const raw = channel as unknown as RawChannel
  const wrapped = new WrappedChannel(raw, dedup, settings)
  const understood = wrapped.methods()
  const proxy: Channel = new Proxy(channel, {
    get(target, name, receiver: unknown): unknown {
      const isUnderstood = typeof name === 'string' && Object.hasOwn(understood, name) && name in target
      return isUnderstood ? understood[name as keyof typeof understood] : Reflect.get(target, name, receiver)
    },
  })
  wrapped.self = proxy
  wrappers.add(proxy)
  return proxy
}

/** What `dedupChannel` has answered. */
const wrappers = new WeakSet<object>()

/** The second one would find each key claimed by the first, and let no message through. */
function refuseWrapped(channel: object): void {
  if (!wrappers.has(channel)) return
  throw new OptionError(
    'dedupChannel: expected a channel of amqplib, received one that is wrapped already; wrap it once',
  )
}
