import { OncemqError } from '@oncemq/core'
import type { OncemqRmqOptions } from './options.ts'

const REFUSALS = new Set<unknown>([403, 404, 405, 406])

type Declared = Pick<
  OncemqRmqOptions<never>,
  | 'connect'
  | 'exchange'
  | 'exchangeArguments'
  | 'exchangeType'
  | 'queue'
  | 'queueOptions'
  | 'routingKey'
  | 'wildcards'
>

/**
 * Declares the queue, the exchange and their bindings on each connection before it is used, as Nest's own
 * transport does: a broker that comes back without them gets them again.
 */
export function declaring(options: Declared, patterns: () => readonly string[]): Declared['connect'] {
  const { connect, exchange, queueOptions, wildcards = false } = options
  if (queueOptions === undefined && exchange === undefined && !wildcards) return connect
  let isFirst = true
  return async () => {
    const connection = await connect()
    try {
      await declare(connection as unknown as DeclaringConnection, options, wildcards ? patterns() : [])
    } catch (error) {
      await (connection as unknown as DeclaringConnection).close().catch(() => undefined)
      // Later it may be a broker that is not ready yet; at start it is a wrong name or argument.
      throw isFirst ? refusal(error, options.queue) : error
    }
    isFirst = false
    return connection
  }
}

async function declare(
  connection: DeclaringConnection,
  options: Declared,
  patterns: readonly string[],
): Promise<void> {
  const { queue, queueOptions, wildcards = false, exchangeType = 'topic', routingKey } = options
  const exchange = options.exchange ?? (wildcards ? queue : undefined)
  connection.on('error', ignored)
  const channel = await connection.createChannel()
  // What is refused rejects the call as well, and without a listener it would end the process.
  channel.on('error', ignored)
  if (queueOptions !== undefined) await channel.assertQueue(queue, queueOptions)
  if (exchange !== undefined) {
    const { exchangeArguments = {} } = options
    await channel.assertExchange(exchange, exchangeType, { durable: true, arguments: exchangeArguments })
    const keys = [...patterns]
    if (exchangeType === 'fanout') keys.push('')
    else if (routingKey !== undefined) keys.push(routingKey)
    for (const key of keys) await channel.bindQueue(queue, exchange, key)
  }
  await channel.close()
}

function ignored(): void {
  // Told by whoever uses the connection.
}

function refusal(cause: unknown, queue: string): unknown {
  const { code, message } = (cause ?? {}) as { code?: unknown; message?: unknown }
  if (!REFUSALS.has(code)) return cause
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `OncemqRmqServer: expected the queue '${queue}', its exchange and bindings as the options say, ` +
      `received '${String(message).slice(0, 200)}'; correct queueOptions or exchangeType, or the rights`,
    { cause },
  )
}

interface DeclaringConnection {
  on(event: 'error', listener: () => void): unknown
  createChannel(): Promise<DeclaringChannel>
  close(): Promise<void>
}

interface DeclaringChannel {
  on(event: 'error', listener: () => void): unknown
  assertQueue(queue: string, options: object): Promise<unknown>
  assertExchange(exchange: string, type: string, options: object): Promise<unknown>
  bindQueue(queue: string, exchange: string, routingKey: string): Promise<unknown>
  close(): Promise<void>
}
