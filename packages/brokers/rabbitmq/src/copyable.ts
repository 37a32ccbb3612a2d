import type { AmqpProperties } from './amqp.ts'
import type { Arrival } from './arrival.ts'
import { DEPTH_MAX, RETURNS_HEADER } from './arrival.ts'
import { isDeathHeader } from './deaths.ts'
import { OWN_PREFIX } from './names.ts'

/** The protocol writes short strings with their length in one byte. */
const SHORT_BYTES_MAX = 255
/** amqplib writes headers into a buffer of 64 KiB, in which ours have to fit too. */
const HEADERS_BYTES_MAX = 40_000
/** What is set aside travels as text in a header of ours. In characters of JSON, of three bytes at most. */
const ASIDE_MAX = 4000
const TIMESTAMP_MAX = 2 ** 53

/** What of a message's properties a copy can carry, and what it cannot. */
export interface Copyable {
  /** Without headers. */
  readonly properties: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, unknown>>
  /**
   * What would act on the copy instead of the message: the time to live ended when the message was delivered,
   * the broker would check the user against ours, and would send further copies to the queues in CC and BCC.
   */
  readonly setAside: {
    readonly properties: AmqpProperties
    readonly headers: Readonly<Record<string, unknown>>
  }
  /** The names of what the client has read and cannot write. */
  readonly unwritable: readonly string[]
}

type Check = (value: unknown) => boolean

const writable: Readonly<Record<string, Check>> = {
  contentType: isShortText,
  contentEncoding: isShortText,
  deliveryMode: isOctet,
  priority: isOctet,
  correlationId: isShortText,
  replyTo: isShortText,
  messageId: isShortText,
  timestamp: (value) => typeof value === 'number' && value >= 0 && value < TIMESTAMP_MAX,
  type: isShortText,
  appId: isShortText,
}

/** Divides a message's properties: an allow-list, since a sender may have sent anything. */
export function copyable({ headers = {}, expiration, userId, ...rest }: AmqpProperties): Copyable {
  const unwritable: string[] = []
  const kept: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(rest)) {
    if (value === undefined) continue
    if (writable[name]?.(value) === true) kept[name] = value
    else unwritable.push(name)
  }
  const divided = dividedHeaders(headers, unwritable)
  const aside = { ...(expiration !== undefined && { expiration }), ...(userId !== undefined && { userId }) }
  return {
    properties: kept,
    headers: divided.kept,
    setAside: { properties: aside, headers: divided.aside },
    unwritable,
  }
}

/** What is written on a message on its way, by the broker and by Rascal. */
const WRITTEN_ON_THE_WAY: ReadonlySet<string> = new Set(['x-acquired-count', 'rascal'])

/**
 * All that the sender of a message wrote, as bytes: the same for each delivery of it and of its copies. What
 * cannot be written is left out.
 */
export function wholeOf({ content, fields, properties }: Arrival): Uint8Array {
  const { exchange, routingKey } = fields
  const { properties: kept, headers, setAside } = copyable(properties)
  const acting = Object.entries(setAside.headers).filter(([name]) => !isDeathHeader(name))
  const own = Object.entries(headers).filter(([name]) => !WRITTEN_ON_THE_WAY.has(name))
  const around = [exchange, routingKey, kept, setAside.properties, acting, own]
  return Buffer.concat([Buffer.from(`${JSON.stringify(around)}\n`), content])
}

function dividedHeaders(headers: Readonly<Record<string, unknown>>, unwritable: string[]) {
  const kept: [string, unknown][] = []
  const aside: [string, unknown][] = []
  let [keptBytes, asideLength] = [0, 0]
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(OWN_PREFIX) || name === RETURNS_HEADER || value === undefined) continue
    const bytes =
      Buffer.byteLength(name) > SHORT_BYTES_MAX ? UNWRITABLE : Buffer.byteLength(name) + 1 + sizeOf(value)
    if (acts(name)) {
      // Only what can be written is known to be finite, and not nested too deeply for JSON.
      asideLength += bytes <= HEADERS_BYTES_MAX ? JSON.stringify([name, value]).length : UNWRITABLE
      if (asideLength <= ASIDE_MAX) aside.push([name, value])
      else unwritable.push('headers')
    } else if (keptBytes + bytes <= HEADERS_BYTES_MAX) {
      keptBytes += bytes
      kept.push([name, value])
    } else unwritable.push('headers')
  }
  return { kept: Object.fromEntries(kept), aside: Object.fromEntries(aside) }
}

/** Whether a header would act on the copy. */
function acts(name: string): boolean {
  return name === 'CC' || name === 'BCC' || isDeathHeader(name)
}

const UNWRITABLE = Number.POSITIVE_INFINITY

/** Bytes of a header's value on the wire; infinite for what amqplib reads, or is given, and cannot write. */
function sizeOf(value: unknown, depth = 0): number {
  if (depth > DEPTH_MAX) return UNWRITABLE
  if (typeof value === 'string') return Buffer.byteLength(value) + 5
  if (typeof value === 'number') return isNumber(value) ? 9 : UNWRITABLE
  if (typeof value === 'boolean') return 2
  return typeof value === 'object' ? sizeOfObject(value, depth) : UNWRITABLE
}

function sizeOfObject(value: object | null, depth: number): number {
  if (value === null) return 1
  if (Buffer.isBuffer(value)) return value.byteLength + 5
  if (Array.isArray(value)) return value.reduce((sum: number, each) => sum + sizeOf(each, depth + 1), 5)
  if ('!' in value) return isTyped(value as Typed) ? 16 : UNWRITABLE
  return Object.entries(value).reduce((sum, [name, each]) => {
    const length = Buffer.byteLength(name)
    return length > SHORT_BYTES_MAX ? UNWRITABLE : sum + 1 + length + sizeOf(each, depth + 1)
  }, 5)
}

interface Typed {
  readonly '!': unknown
  readonly value?: unknown
}

/** Integers at or above 2^63 are written as doubles, those below -2^63 cannot be. */
function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= -(2 ** 63)
}

/**
 * amqplib's way to say which type of the protocol a number is: `{ '!': 'timestamp', value: 7 }`. These are
 * the types that it reads so; a sender may have written such a table himself, with anything in it.
 */
function isTyped({ '!': type, value }: Typed): boolean {
  if (type === 'timestamp') return isNumber(value) && Number.isInteger(value) && value >= 0 && value < 2 ** 64
  if (type === 'float' || type === 'double') return isNumber(value)
  if (type !== 'decimal' || typeof value !== 'object' || value === null) return false
  const { places, digits } = value as { places?: unknown; digits?: unknown }
  return (
    isOctet(places) &&
    typeof digits === 'number' &&
    Number.isInteger(digits) &&
    digits >= 0 &&
    digits < 2 ** 32
  )
}

function isShortText(value: unknown): boolean {
  return typeof value === 'string' && Buffer.byteLength(value) <= SHORT_BYTES_MAX
}

function isOctet(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 255
}
