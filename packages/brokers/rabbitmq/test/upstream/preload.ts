// Loaded before a file of amqplib's own tests: the channels that its connections make are wrapped ones.
import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import { describe, test } from 'node:test'
import { createDeduplicator, MemoryStore } from '@oncemq/core'
import { type AmqpChannel, dedupChannel } from '../../src/index.ts'
import { CONFIG_VARIABLE, type UpstreamConfig } from './config.ts'

type Call = (...args: unknown[]) => unknown
type Channel = AmqpChannel & { publish: Call }
type Model = { prototype: Record<'createChannel' | 'createConfirmChannel', Call> }

const { entry, url, channels } = JSON.parse(process.env[CONFIG_VARIABLE] ?? '') as UpstreamConfig
const load = createRequire(entry)

/** Parts of the suite know no server but the local one. */
const connecting = load('./lib/connect') as { connect: Call }
const { connect } = connecting
connecting.connect = (to, ...rest) => connect(to || url, ...rest)

/** The older suite is written for mocha. */
Object.assign(globalThis, {
  suite: describe,
  test(name: string, run: Call): void {
    if (run.length === 0) void test(name, () => run() as Promise<void>)
    else void test(name, (_, done) => void run(done))
  },
})

if (channels !== 'bare') {
  const { ChannelModel } = load('./lib/channel_model') as { ChannelModel: Model }
  const { CallbackModel } = load('./lib/callback_model') as { CallbackModel: Model }
  for (const name of ['createChannel', 'createConfirmChannel'] as const) {
    const [promised, called] = [ChannelModel.prototype[name], CallbackModel.prototype[name]]
    ChannelModel.prototype[name] = async function (...args) {
      return wrapped((await promised.apply(this, args)) as Channel)
    }
    CallbackModel.prototype[name] = function (...args) {
      const told = args.pop() as Call
      return called.call(this, ...args, (error: unknown, channel?: Channel) =>
        told(error, channel && wrapped(channel)),
      )
    }
  }
}

/** Consumers without acks are refused by default; the suite has many. */
function wrapped(channel: Channel): Channel {
  if (channels === 'wrapped, keyed') {
    const publish = channel.publish.bind(channel)
    channel.publish = (exchange, routingKey, content, options, ...rest) =>
      publish(exchange, routingKey, content, { messageId: randomUUID(), ...(options as object) }, ...rest)
  }
  const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'upstream', sweepEveryMs: 0 })
  // The suite's own wait for a message looks once, as soon as a further connection is there: what is given
  // back has to be in its queue by then.
  return dedupChannel(channel, dedup, { onNoAck: 'pass', retry: { firstMs: 1 } })
}
