import type { Start } from '../claims/start.ts'
import { childIdOf } from './event-id.ts'

/** What a handler knows about its run. */
export interface HandlerContext<Tx = undefined> {
  /** The delivery's key, to hand on as idempotency key; `undefined` when it runs without protection. */
  readonly key: string | undefined
  /**
   * Rises with each grant of the key: a fencing token. 0 without protection, and for ways without a record.
   */
  readonly epoch: number
  /** Which start this is, from 1. */
  readonly attempt: number
  /** Aborts when the lease is lost or the handler's time is over: stop, for another worker may start. */
  readonly signal: AbortSignal
  /** Where the handler runs in a transaction of the store, what it writes with; the store says its type. */
  readonly tx: Tx
  /**
   * The id of a message that the handler sends: made of this delivery's key, consumer group and source, and
   * of `name`, which names the message among those that the handler sends. A handler that runs again sends
   * the same ids, so that its messages are duplicates of the first ones.
   * @throws OncemqError `ONCEMQ_KEY_MISSING` when the delivery has no key, `ONCEMQ_KEY_INVALID` for an empty
   *   name.
   * @example
   * channel.sendToQueue('receipts', body, { messageId: context.childId('receipt') })
   */
  readonly childId: (name: string) => string
}

/** What a context tells of a start. */
type Told = Pick<Start, 'key' | 'id' | 'epoch' | 'attempt' | 'signal'>

/**
 * The context of a start or claim. The signal is made when it is first read, and is an own property, so that
 * a copy of the context has it.
 */
export function contextOf<Tx>(start: Told, tx: Tx): HandlerContext<Tx> {
  return new StartContext(start, tx)
}

const START = Symbol('start')
const childIds = new WeakMap<Told, HandlerContext['childId']>()

/** One function for each start, so that what is the same stays the same in a copy. */
function childIdsOf(start: Told): HandlerContext['childId'] {
  const childId = childIds.get(start) ?? ((name: string) => childIdOf(start.id, name))
  childIds.set(start, childId)
  return childId
}

/**
 * The start is seen neither by a copy nor by what prints a context, and is found through a proxy too. One
 * getter for all: with a closure for each, in an object literal, each context had its own hidden class,
 * which kept its claim in memory until the whole heap was collected.
 */
class StartContext<Tx> implements HandlerContext<Tx> {
  static readonly #derived: PropertyDescriptorMap & ThisType<StartContext<unknown>> = {
    signal: {
      get() {
        return this[START].signal
      },
      enumerable: true,
    },
    childId: {
      get() {
        return childIdsOf(this[START])
      },
      enumerable: true,
    },
  }

  readonly key: string | undefined
  readonly epoch: number
  readonly attempt: number
  readonly tx: Tx
  declare readonly signal: AbortSignal
  declare readonly childId: (name: string) => string
  declare readonly [START]: Told

  constructor(start: Told, tx: Tx) {
    this.key = start.key
    this.epoch = start.epoch
    this.attempt = start.attempt
    this.tx = tx
    Object.defineProperty(this, START, { value: start })
    Object.defineProperties(this, StartContext.#derived)
  }
}
