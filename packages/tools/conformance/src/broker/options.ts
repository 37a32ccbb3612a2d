import type { Deduplicator } from '@oncemq/core'
import type { SuiteStore } from './suite-store.ts'

/**
 * What a case may need of a client, beside what each has:
 *
 * - `dead-lettering`: the user's code can dead-letter a message by itself;
 * - `handing back`: the client can close without handling all that it was handed;
 * - `counting`: starts of messages without a key are counted;
 * - `context`: the handler is told its key, epoch and attempt;
 * - `middlewares`: the adapter runs middlewares around the handler;
 * - `errors`: the adapter sees what a handler throws;
 * - `answers`: the adapter does something with what a handler answers;
 * - `bounded close`: the adapter's close has a bound;
 * - `changing messages`: a handler can change the message that it is given;
 * - `two queues`: the bench has a second queue or topic;
 * - `several at once`: the client hands over further messages of a queue before one is settled;
 * - `redelivery`: what was not acked is delivered again, whatever its record says, and may still be done.
 */
export type BrokerNeed =
  | 'dead-lettering'
  | 'handing back'
  | 'counting'
  | 'context'
  | 'middlewares'
  | 'errors'
  | 'answers'
  | 'bounded close'
  | 'changing messages'
  | 'two queues'
  | 'several at once'
  | 'redelivery'

/** Which queue or topic of the bench; the first where nothing is said. */
export type SuiteQueue = 'first' | 'second'

/** What {@link testBroker} needs to know about an adapter: how to open a bench for it. */
export interface BrokerSuiteOptions {
  /** Makes what one case works with: a queue or topic of its own that is empty. The suite closes it. */
  open(context: BrokerOpenContext): Promise<BrokerBench>
  /**
   * How long a case waits for what must come before it fails. Milliseconds.
   * @default 20000
   */
  readonly waitMs?: number
  /**
   * How long a case watches for what must not come: longer than the broker takes to deliver. Milliseconds.
   * @default 300
   */
  readonly quietMs?: number
  /**
   * What the client cannot do by its nature, each with the reason, in a sentence. The cases that need it are
   * skipped and say so. Nothing by default.
   */
  readonly lacks?: Readonly<Partial<Record<BrokerNeed, string>>>
  /**
   * Opens a store for one case that the suite can take away, where the adapter needs another than the suite's
   * own in memory.
   */
  readonly openStore?: () => SuiteStore
  /** Further options of the deduplicators of all cases, such as another strategy that has records of keys. */
  readonly dedup?: Readonly<Record<string, unknown>>
  /**
   * Whether cases run side by side: for brokers whose cases are mostly waiting. Vitest's `maxConcurrency`
   * bounds how many.
   * @default false
   */
  readonly concurrent?: boolean
}

/** What a bench is opened with. */
export interface BrokerOpenContext {
  /** Letters, digits and underscores, at most 30, new for each case: the name of a queue or topic. */
  readonly namespace: string
}

/** One queue or topic of a real broker, with the adapter on its consuming side. */
export interface BrokerBench {
  /** Sends a message; resolves when the broker has it. */
  send(message: SuiteMessage): Promise<void>
  /** Starts a consumer as a process of its own would: on a connection of its own. */
  consume(request: ConsumeRequest): Promise<SuiteConsumer>
  /** How many messages the broker still has for the consumers. Asked for when none is running. */
  remaining(): Promise<number>
  /** The messages that were dead-lettered, or parked, so far. */
  deadLettered(): Promise<readonly SuiteDeadLetter[]>
  close(): Promise<void>
}

/** A message that a case sends. */
export interface SuiteMessage {
  /** `undefined` for a message without a key. */
  readonly key: string | undefined
  readonly body: string
  readonly queue?: SuiteQueue
}

/** A dead letter, with what stands on it; `undefined` where the broker itself has moved it there. */
export interface SuiteDeadLetter {
  readonly body: string
  readonly reason?: string | undefined
  readonly attempts?: number | undefined
  readonly errorName?: string | undefined
  readonly errorMessage?: string | undefined
}

/** What a consumer of a case is started with. */
export interface ConsumeRequest {
  readonly dedup: Deduplicator
  /**
   * The user's handler. Where users settle by themselves, the bench does it as they would: success is acked,
   * a throw is given back for another attempt, a `PermanentError` is dead-lettered.
   */
  readonly handler: (delivery: SuiteDelivery) => Promise<unknown>
  /** How many handlers may run at a time. */
  readonly concurrency: number
  readonly queue?: SuiteQueue
  /** What a middleware does before it calls `next`; for adapters that have middlewares. */
  readonly middleware?: (body: string) => Promise<void>
}

/** A message as a case's handler gets it, with the key, epoch and attempt of its context. */
export interface SuiteDelivery {
  readonly body: string
  readonly key: string | undefined
  readonly epoch: number
  readonly attempt: number
  readonly signal: AbortSignal
  /**
   * Where the message came from, as the handler sees it: exchange and routing key, topic, and the headers of
   * the user's, as one text.
   */
  readonly arrival?: string | undefined
  /** Changes all of the message that a handler can: payload, id and headers. */
  readonly spoil?: (() => void) | undefined
}

/** A running consumer of a case. */
export interface SuiteConsumer {
  /** The adapter's own close: takes nothing more, and waits for what runs. */
  close(options?: { timeoutMs?: number }): Promise<void>
  /** Takes the connection away from it, as a network does; the broker delivers again what was not acked. */
  cut(): Promise<void>
}
