import type { AmqpMessage } from './amqp.ts'
import type { Copies } from './copies.ts'

/** What a handler may answer to a message with `replyTo`: bytes, text, or anything that JSON can hold. */
export type Reply = Uint8Array | string | object

/** The first byte of a kept reply says how the rest is to be sent. */
const KINDS = ['application/octet-stream', 'text/plain', 'application/json'] as const
const [BYTES, TEXT, JSON_TEXT] = [0, 1, 2]

/** A reply as it is kept with the record: its kind, then its content. `undefined` for none. */
export function encodeReply(reply: Reply | undefined | void): Uint8Array | undefined {
  if (reply === undefined || reply === null) return undefined
  if (typeof reply === 'string') return withKind(TEXT, Buffer.from(reply))
  if (reply instanceof Uint8Array) return withKind(BYTES, reply)
  return withKind(JSON_TEXT, Buffer.from(JSON.stringify(reply)))
}

/**
 * Sends a kept reply to whom the message names, and resolves when the broker has it. A requester that left
 * gets none.
 */
export async function sendReply(copies: Copies, message: AmqpMessage, encoded: Uint8Array): Promise<void> {
  const { replyTo, correlationId } = message.properties
  if (replyTo === undefined || replyTo === '') return
  const contentType = KINDS[encoded[0] ?? BYTES] ?? KINDS[BYTES]
  await copies.publish(replyTo, Buffer.from(encoded.subarray(1)), { contentType, correlationId })
}

function withKind(kind: number | undefined, content: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from([kind ?? 0]), content])
}
