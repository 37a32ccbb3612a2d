import { OncemqError, OptionError } from '@oncemq/core'
import { pageAt, received } from '@oncemq/core/broker'
import type { AmqpConnection } from './amqp.ts'

const CHANNEL_METHODS = ['consume', 'ack', 'nack', 'on']
const CONNECTION_METHODS = ['createChannel', 'createConfirmChannel']
const OTHERWISE = `use amqplib, or run, see ${pageAt('which-way', 'with-another-client')}`

/** What is mistaken for a channel or connection of amqplib, by the methods that tell it. */
const others: readonly (readonly [what: string, methods: readonly string[], remedy: string])[] = [
  [
    'a channel of amqp-connection-manager, whose tags mean something else when it has reconnected',
    ['addSetup'],
    'wrap the channel that its setup function is given',
  ],
  [
    'a connection of amqp-connection-manager, which opens channels of its own kind',
    ['createChannel', 'isConnected', 'reconnect'],
    'wrap the channel that its setup function is given, or use consume({ connect })',
  ],
  ['a connection of rabbitmq-client, which is not supported', ['acquire', 'createConsumer'], OTHERWISE],
  ['a channel of another client, which is not supported', ['basicConsume', 'basicAck'], OTHERWISE],
  [
    'a broker of Rascal',
    ['subscribe', 'subscribeAll', 'forward'],
    'wrap the listener of its subscription by dedupListener',
  ],
]

/** @throws OptionError unless it is a channel of amqplib, OncemqError for one of a client like it. */
export function requireChannel(form: string, channel: unknown): void {
  refuseOthers(form, 'a channel of amqplib', channel)
  if (has(channel, CHANNEL_METHODS)) return
  const what = has(channel, CONNECTION_METHODS) ? 'a connection' : received(channel)
  throw new OptionError(
    `${form}: expected a channel of amqplib, received ${what}; pass await connection.createChannel()`,
  )
}

/** @throws likewise, unless it is a connection of amqplib. */
export function requireConnection(form: string, connection: unknown): asserts connection is AmqpConnection {
  refuseOthers(form, 'a connection of amqplib', connection)
  if (has(connection, CONNECTION_METHODS)) return
  const what = has(connection, CHANNEL_METHODS) ? 'a channel' : received(connection)
  throw new OptionError(
    `${form}: expected a connection of amqplib, received ${what}; pass await amqp.connect(url)`,
  )
}

function refuseOthers(form: string, expected: string, given: unknown): void {
  const other = others.find(([, methods]) => has(given, methods))
  if (other === undefined) return
  const [what, , remedy] = other
  throw new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `${form}: expected ${expected}, received ${what}; ${remedy}`,
  )
}

function has(value: unknown, methods: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false
  return methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function')
}
