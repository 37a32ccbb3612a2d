import { OncemqError } from '@oncemq/core'
import type { Clock, DeadLetter, Provenance, Retry } from '@oncemq/core/broker'
import { pause } from '@oncemq/core/broker'
import { answerOf } from './amqp.ts'
import { sealedHeaders, signedId } from './arrival.ts'
import type { Copyable } from './copyable.ts'
import { copyable } from './copyable.ts'
import type { CopySender, Delivery } from './delivery.ts'
import { describedHeaders, UNWRITABLE_HEADER } from './parking.ts'
import { inTime } from './in-time.ts'
import type { Publisher } from './publisher.ts'
import { replyOf } from './replies.ts'
import type { QueueDeclaration, WaitQueueType } from './queues.ts'
import { parkingDeclaration, RETRY_HEADER, waitDeclaration, waitMsOf } from './queues.ts'

/** For how long a declaration counts: see the life of a classic wait queue. */
export const DECLARED_FOR_MS = 60_000
/**
 * RabbitMQ may lose a quorum queue, with all that is in it, if it is killed within a second of its first
 * declaration.
 */
const SETTLE_MS = 1500
const PERSISTENT = 2
const NO_CONFIRM = 'look for an alarm of memory or disk, which blocks whoever publishes'

export interface CopySettings {
  readonly clock: Clock
  readonly secret: () => Promise<Uint8Array>
  readonly parkingQueue: (queue: string) => string
  readonly parkingArguments: Readonly<Record<string, unknown>>
  readonly parkedMax: number
  readonly waitQueueType: WaitQueueType
  readonly onDeadLetter: 'park' | 'broker'
  /** Called when a message has been put aside, and before it is acked. Never rejects. */
  readonly onDeadLettered?: (delivery: Delivery) => Promise<void>
}

interface Sent {
  readonly queue: string
  readonly confirmed: Promise<void>
}

interface Declared {
  readonly atMs: number
  /** Resolves with how many messages were in it, when the queue may be relied on. */
  readonly ready: Promise<number>
}

/**
 * Sends copies of messages to where they wait or stay, each confirmed before its original is acked, so that a
 * crash between the two leaves two, never none. A copy says where it comes from, and is given to the handler
 * as the message first came.
 *
 *   queue ──copy──▶ queue.retry.<ms> ──expired──▶ queue        queue ──copy──▶ queue.parked
 */
export class Copies implements CopySender {
  readonly #publisher: Publisher
  readonly #settings: CopySettings
  readonly #declared = new Map<string, Declared>()
  /** Queues that were there before: a declaration need not settle. */
  readonly #known = new Set<string>()
  /** What was sent and not confirmed in time: it is there, or will be when the broker's alarm is over. */
  readonly #sent = new WeakMap<Delivery, Sent>()

  constructor(publisher: Publisher, settings: CopySettings) {
    this.#publisher = publisher
    this.#settings = settings
    publisher.onChannelGone = () => this.#declared.clear()
  }

  async retry(delivery: Delivery, { delayMs, reason, starts, returns }: Retry): Promise<void> {
    const { source } = delivery
    const parts = copyable(delivery.arrival.properties)
    // What a handler would not get back is not sent away: the message waits where it is.
    if (parts.unwritable.length > 0) throw cannotBeCopied(parts.unwritable)
    const headers = {
      ...(await this.#sealed('retry', delivery, parts, { starts, returns })),
      [RETRY_HEADER]: reason,
    }
    // A worn-out message needs no wait, only a new life.
    const declaration =
      delayMs === 0 ? undefined : waitDeclaration(source, waitMsOf(delayMs, reason), this.#settings)
    if (declaration !== undefined) await this.#declare(declaration)
    await this.#send(declaration?.queue ?? source, delivery, parts, headers)
  }

  async deadLetter(delivery: Delivery, letter: DeadLetter): Promise<void> {
    if (this.#settings.onDeadLetter === 'broker') delivery.acks.nack(delivery, false)
    else await this.#park(delivery, letter)
    await this.#settings.onDeadLettered?.(delivery)
  }

  /** A message that cannot be copied whole is parked with its body and what can be written. */
  async #park(delivery: Delivery, letter: DeadLetter): Promise<void> {
    const parts = copyable(delivery.arrival.properties)
    const declaration = parkingDeclaration(delivery.source, this.#settings)
    await this.#declareWithRoom(declaration)
    const headers = {
      ...(await this.#sealed('parked', delivery, parts, { starts: 0 })),
      ...describedHeaders(delivery, letter),
      ...(parts.unwritable.length > 0 && { [UNWRITABLE_HEADER]: [...new Set(parts.unwritable)].join(' ') }),
    }
    await this.#send(declaration.queue, delivery, parts, headers)
  }

  /** A requester that left gets none. */
  async reply({ arrival }: Delivery, encoded: Uint8Array): Promise<void> {
    const reply = replyOf(arrival.properties, encoded)
    if (reply === undefined) return
    await this.#inTime(this.#publisher.publish(reply.queue, reply.content, reply.options))
  }

  /** Tried again while the broker has not answered, it waits for the same copy, so that there is but one. */
  async #send(
    queue: string,
    delivery: Delivery,
    { properties, headers }: Copyable,
    ours: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    const { content } = delivery.arrival
    const options = { ...properties, deliveryMode: PERSISTENT }
    const before = this.#sent.get(delivery)
    const confirmed =
      before?.queue === queue
        ? before.confirmed
        : this.#publisher.send({ queue, content, options, headers: { ...headers, ...ours } })
    this.#sent.set(delivery, { queue, confirmed })
    confirmed.catch(() => this.#sent.delete(delivery))
    try {
      await this.#inTime(confirmed)
    } catch (error) {
      // It may be gone, or be full: look again before the next one.
      this.#declared.delete(queue)
      throw error
    }
  }

  #inTime(confirmed: Promise<void>): Promise<void> {
    return inTime(confirmed, {
      clock: this.#settings.clock,
      what: "the broker's confirm",
      remedy: NO_CONFIRM,
    })
  }

  async #sealed(
    kind: 'retry' | 'parked',
    { arrival, source }: Delivery,
    { setAside }: Copyable,
    told: Pick<Provenance, 'starts' | 'returns'>,
  ): Promise<Readonly<Record<string, unknown>>> {
    const { content, fields, properties, firstAtMs, hops } = arrival
    const { exchange, routingKey } = fields
    const { deliveryMode } = properties
    const original = {
      exchange,
      routingKey,
      properties: { ...setAside.properties, deliveryMode },
      headers: setAside.headers,
      ...(hops > 0 && { hops }),
    }
    const provenance = { kind, source, ...told, firstAtMs, original }
    const sealedFor = { body: content, id: signedId(properties) }
    return sealedHeaders(await this.#settings.secret(), provenance, sealedFor)
  }

  async #declareWithRoom(declaration: QueueDeclaration): Promise<void> {
    const { parkedMax } = this.#settings
    if ((await this.#declare(declaration)) < parkedMax) return
    this.#declared.delete(declaration.queue)
    throw new OncemqError(
      'ONCEMQ_BROKER_UNAVAILABLE',
      `expected fewer than ${parkedMax} messages in a parking queue (parkedMax), received as many; ` +
        'look into it and empty it, or raise parkedMax',
    )
  }

  /** Answers how many messages were in the queue when it was declared last. */
  #declare(declaration: QueueDeclaration): Promise<number> {
    const { queue } = declaration
    const nowMs = this.#settings.clock.monotonicMs()
    const known = this.#declared.get(queue)
    if (known !== undefined && nowMs - known.atMs < DECLARED_FOR_MS) return known.ready
    const ready = this.#declareNow(declaration)
    this.#declared.set(queue, { atMs: nowMs, ready })
    ready.catch(() => this.#declared.delete(queue))
    return ready
  }

  async #declareNow({ queue, options, settles }: QueueDeclaration): Promise<number> {
    const channel = await this.#publisher.channel()
    let found: unknown
    try {
      const asked = answerOf<unknown>((done) => channel.assertQueue(queue, options, done))
      found = await inTime(asked, { clock: this.#settings.clock, what: 'an answer to a declaration' })
    } catch (error) {
      throw notDeclared(error, queue)
    }
    if (settles && !this.#known.has(queue)) await pause(this.#settings.clock, SETTLE_MS)
    this.#known.add(queue)
    return (found as { messageCount?: number } | undefined)?.messageCount ?? 0
  }
}

function cannotBeCopied(unwritable: readonly string[]): OncemqError {
  return new OncemqError(
    'ONCEMQ_BROKER_UNAVAILABLE',
    `expected a message that the client can send again, received one with ${unwritable[0]} that it cannot ` +
      'write; it waits where it is',
  )
}

const ACCESS_REFUSED = 403
const PRECONDITION_FAILED = 406

/** A queue that is there and is not as it has to be may lose what it is given: it is not used. */
function notDeclared(cause: unknown, queue: string): unknown {
  const { code } = (cause ?? {}) as { code?: unknown }
  if (code === PRECONDITION_FAILED) {
    return new OncemqError(
      'ONCEMQ_CONSUMER_UNSAFE',
      `expected the queue '${queue}' as oncemq declares it, received one that was declared with other ` +
        'arguments, and may lose what is put there; delete it, choose another name (parkingQueue), or say ' +
        'its arguments (parkingArguments)',
      { cause },
    )
  }
  if (code !== ACCESS_REFUSED) return cause
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `expected the right to declare and write the queue '${queue}', received a refusal; grant this user ` +
      'configure, write and read on it',
    { cause },
  )
}
