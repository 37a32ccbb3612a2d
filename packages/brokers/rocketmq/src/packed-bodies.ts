import { unzipSync } from 'node:zlib'

import type { RawConsumer, RocketmqClient, RocketmqMessage } from './client.ts'
import { forwardToDeadLetterQueue } from './host.ts'

/** How much a body may become. Four times as much as a server as delivered takes from a client. */
const UNPACKED_MAX = 16 * 1024 * 1024
// The protocol's names of encodings, and of a digest that nobody checks.
const IDENTITY = 1
const GZIP = 2
const UNCHECKED = 0

/** A message of the protocol, before the client has read it. */
interface WireMessage {
  getTopic(): { getName(): string } | undefined
  getBody_asU8(): Uint8Array
  setBody(body: Uint8Array): unknown
  getSystemProperties(): WireProperties | undefined
}

interface WireProperties {
  getBodyEncoding(): number
  setBodyEncoding(encoding: number): unknown
  getBodyDigest(): { setType(type: number): unknown } | undefined
  getMessageId(): string
  getReceiptHandle(): string
  getDeliveryAttempt(): number
}

interface Response {
  getMessage(): WireMessage | undefined
}

interface Calls {
  receiveMessage(endpoints: unknown, ...rest: unknown[]): Promise<readonly Response[]>
}

const understood = new WeakSet<object>()

/**
 * Unpacks the bodies that senders have packed, in place of the client. When the client cannot, it loses all
 * messages that it has received together, each time; it takes what is packed as `zlib`, as clients of version
 * 4 do, for damaged; and it unpacks without a bound, so that one message can end the process. What cannot be
 * unpacked is moved to the dead-letter queue of its group by itself, and told once.
 */
export function unpackBodies(client: RocketmqClient, warn: (message: string) => void = warnProcess): void {
  const calls = (client as { getRpcClientManager?(): Partial<Calls> }).getRpcClientManager?.()
  const receive = calls?.receiveMessage?.bind(calls)
  if (calls === undefined || receive === undefined || understood.has(calls)) return
  understood.add(calls)
  let isTold = false
  calls.receiveMessage = async (endpoints, ...rest) => {
    const responses = await receive(endpoints, ...rest)
    return responses.filter((response) => {
      const message = response.getMessage()
      if (message === undefined || unpack(message)) return true
      if (!isTold) warn(UNREADABLE)
      isTold = true
      setAside(client, message, endpoints)
      return false
    })
  }
}

const UNREADABLE =
  `a message says that its body is packed, and it cannot be unpacked to ${UNPACKED_MAX} bytes or less; ` +
  'it goes to the dead-letter queue of its group'

function warnProcess(message: string): void {
  process.emitWarning(`rocketmq: ${message}`, { type: 'OncemqWarning' })
}

/** Answers whether the client can read the message. */
function unpack(message: WireMessage): boolean {
  const properties = message.getSystemProperties()
  if (properties?.getBodyEncoding() !== GZIP) return true
  try {
    message.setBody(unzipSync(message.getBody_asU8(), { maxOutputLength: UNPACKED_MAX }))
  } catch {
    return false
  }
  // The digest is that of the packed body, which has a check of its own.
  properties.getBodyDigest()?.setType(UNCHECKED)
  properties.setBodyEncoding(IDENTITY)
  return true
}

/** What cannot be moved now is delivered again, and moved then. */
function setAside(client: RocketmqClient, message: WireMessage, endpoints: unknown): void {
  const properties = message.getSystemProperties()
  const view = {
    topic: message.getTopic()?.getName(),
    messageId: properties?.getMessageId(),
    receiptHandle: properties?.getReceiptHandle(),
    deliveryAttempt: properties?.getDeliveryAttempt(),
    endpoints,
  }
  forwardToDeadLetterQueue(client as RawConsumer, view as unknown as RocketmqMessage).catch(() => undefined)
}
