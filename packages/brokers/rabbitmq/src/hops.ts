import { isOncemqError } from '@oncemq/core'
import { keyText, readKey } from '@oncemq/core/broker'
import type { AmqpMessage } from './amqp.ts'
import { HOP_HEADER } from './arrival.ts'
import type { Delivery } from './delivery.ts'
import type { WrappedServices } from './intake.ts'

export interface Outgoing {
  readonly exchange: string
  readonly routingKey: string
  readonly content: Buffer
  readonly options: object | undefined
}

/**
 * The options to publish with. What a handler sends through its wrapped channel under the key of a message
 * that it has and has not settled yet (a retry by hand, by a delay queue of its own) is a further hop of that
 * message, and gets an identity of its own, the same each time: else it would be taken for a duplicate.
 */
export function hopOptions(services: WrappedServices, outgoing: Outgoing): object | undefined {
  const { options } = outgoing
  const handled = handledUnder(services, outgoing)
  if (handled === undefined) return options
  const { headers } = (options ?? {}) as { headers?: object }
  return { ...options, headers: { ...headers, [HOP_HEADER]: handled.hops + 1 } }
}

function handledUnder({ acks, settings }: WrappedServices, outgoing: Outgoing): Delivery | undefined {
  const given = acks.given().filter(({ claim }) => claim !== undefined)
  if (given.length === 0) return undefined
  const key = readKey(settings.key, asMessage(outgoing))
  if (key === undefined || isOncemqError(key)) return undefined
  const text = typeof key === 'string' || Array.isArray(key) ? keyText(key) : undefined
  return given.find(({ claim }) => claim?.key === text)
}

/** What is sent, as its consumer will see it. */
function asMessage({ exchange, routingKey, content, options }: Outgoing): AmqpMessage {
  const fields = { deliveryTag: 0, redelivered: false, exchange, routingKey }
  return { content, fields, properties: { headers: {}, ...options } }
}
