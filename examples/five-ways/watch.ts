import type { Middleware, ProcessOutcome } from '@oncemq/core'
import { Semaphore } from '@oncemq/core/store'
import type { Order } from './order.ts'
import { orderOf } from './order.ts'

/**
 * What goes wrong in a worker. `crash`: it dies in the middle of handling, after the effect and before the
 * commit or the record. `ack-lost`: it dies when all of that is done, before its ack.
 */
export interface Fault {
  readonly kind: 'none' | 'crash' | 'ack-lost'
  /** With which order it happens. */
  readonly order: string
}

/** What a worker tells: that it begins with a message, for the first time or again, and that it is done. */
export type Told =
  | { readonly event: 'begun'; readonly sending: string; readonly isFirst: boolean }
  | { readonly event: 'settled'; readonly sending: string; readonly status: string }

/** A message of either broker, as far as the watch looks at it. */
type Message =
  | { readonly content: Buffer; readonly properties: { readonly headers?: object | undefined } }
  | { readonly body: Buffer; readonly properties: ReadonlyMap<string, string> }

/** The name of the header by which the watch tells the two sendings of an order apart. Nothing else does. */
export const SENDING = 'sending'

interface Parts {
  readonly fault: Fault
  /** Resolves when it is told, whatever happens to this worker then. */
  readonly tell: (told: Told) => Promise<void>
  /** Ends this worker at once. */
  readonly die: () => Promise<never>
  /** How many messages the worker is at, at a time. */
  readonly atOnce: number
}

/** Stands around the consumer's own code: tells what happens there, and makes happen what goes wrong. */
export class Watch {
  readonly #parts: Parts
  readonly #turns: Semaphore
  readonly #seen = new WeakSet<Message>()

  constructor(parts: Parts) {
    this.#parts = parts
    this.#turns = new Semaphore(parts.atOnce)
  }

  /** A middleware: it sees each message, and what became of it, before it is acked. */
  readonly delivery: Middleware<Message, ProcessOutcome> = async (message, next) => {
    await this.#turns.acquire()
    try {
      return await this.#watched(message, next)
    } finally {
      this.#turns.release()
    }
  }

  async #watched(message: Message, next: () => Promise<ProcessOutcome>): Promise<ProcessOutcome> {
    const { fault, tell, die } = this.#parts
    const sending = sendingOf(message)
    await tell({ event: 'begun', sending, isFirst: !this.#seen.has(message) })
    this.#seen.add(message)
    const { id } = orderOf('content' in message ? message.content : message.body)
    const outcome = await next()
    if (fault.kind === 'ack-lost' && fault.order === id && outcome.status === 'completed') return die()
    const isSettled = outcome.status === 'completed' || outcome.status === 'duplicate'
    if (isSettled) await tell({ event: 'settled', sending, status: outcome.status })
    return outcome
  }

  /** Called by each handler when it has charged. */
  async charged({ id }: Order): Promise<void> {
    const { fault, die } = this.#parts
    if (fault.kind === 'crash' && fault.order === id) await die()
  }
}

function sendingOf(message: Message): string {
  if ('body' in message) return String(message.properties.get(SENDING))
  return String((message.properties.headers as Record<string, unknown> | undefined)?.[SENDING])
}
