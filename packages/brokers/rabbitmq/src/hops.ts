import { isOncemqError } from '@oncemq/core'
import { keyText, readKey } from '@oncemq/core/broker'
import type { AmqpMessage } from './amqp.ts'
import { sealedHeaders, signedId } from './arrival.ts'
import type { Delivery } from './delivery.ts'
import type { WrappedServices } from './wrapped-services.ts'

export interface Outgoing {
  readonly exchange: string
  readonly routingKey: string
  readonly content: Buffer
  readonly options: object | undefined
}

/**
 * The options to publish with. What a handler sends through its wrapped channel under the key of a message
 * that it has (a retry by hand, by a delay queue of its own) is a further hop of that message, and gets an
 * identity of its own, the same each time: else it would be taken for a duplicate. The hop is signed, so that
 * no sender can make one up.
 */
export function hopOptions(services: WrappedServices, outgoing: Outgoing): object | undefined {
  const { content, options } = outgoing
  const { secret } = services.hopSecret
  const handled = secret === undefined ? undefined : handledUnder(services, outgoing)
  if (secret === undefined || handled === undefined) return options
  const { source, arrival, hops } = handled
  const original = { hops: hops + 1 }
  const provenance = { kind: 'hop', source, starts: 0, firstAtMs: arrival.firstAtMs, original } as const
  const { headers } = (options ?? {}) as { headers?: object }
  const sealed = sealedHeaders(secret, provenance, { body: content, id: signedId(options ?? {}) })
  return { ...options, headers: { ...headers, ...sealed } }
}

function handledUnder({ acks, settings }: WrappedServices, outgoing: Outgoing): Delivery | undefined {
  // What is no buffer is for amqplib to refuse.
  if (!Buffer.isBuffer(outgoing.content)) return undefined
  const given = acks.handled().filter(({ claim }) => claim?.key !== undefined)
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
