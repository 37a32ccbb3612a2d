import type { AmqpProperties } from './amqp.ts'

/** What a handler may answer to a message with `replyTo`: bytes, text, or anything that JSON can hold. */
export type Reply = Uint8Array | string | object

/** The first byte of a kept reply says how the rest is to be sent. */
const KINDS = ['application/octet-stream', 'text/plain', 'application/json'] as const
const [BYTES, TEXT, JSON_TEXT] = [0, 1, 2]

/**
 * A reply as it is kept with the record: its kind, then its content. `undefined` for none.
 * @throws TypeError for what JSON cannot hold.
 */
export function encodeReply(reply: unknown): Uint8Array | undefined {
  if (reply === undefined || reply === null) return undefined
  if (typeof reply === 'string') return withKind(TEXT, Buffer.from(reply))
  if (reply instanceof Uint8Array) return withKind(BYTES, reply)
  const text = JSON.stringify(reply) as string | undefined
  return text === undefined ? undefined : withKind(JSON_TEXT, Buffer.from(text))
}

/** Where a kept reply goes, and how; `undefined` where nobody asked for one. */
export function replyOf({ replyTo, correlationId }: AmqpProperties, encoded: Uint8Array) {
  if (replyTo === undefined || replyTo === '') return undefined
  const contentType = KINDS[encoded[0] ?? BYTES] ?? KINDS[BYTES]
  return {
    queue: replyTo,
    content: Buffer.from(encoded.subarray(1)),
    options: { contentType, correlationId },
  }
}

function withKind(kind: number | undefined, content: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from([kind ?? 0]), content])
}
