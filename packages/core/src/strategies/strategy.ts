import type { Start } from '../claims/start.ts'
import type { HandlerContext } from '../delivery/context.ts'
import type { Delivery, ProcessOutcome } from '../delivery/outcome.ts'
import type { LogRequest, TakenLog } from '../delivery/position.ts'
import type { EventSink } from '../observe/events.ts'
import type { CompleteUpdate, Finding, Store, UpdateAnswer } from '../store/contract.ts'
import type { Clock } from '../time/clock.ts'
import type { Random } from '../time/random.ts'

/**
 * Does the work. What it answers is kept with the record and given to duplicates: bytes, or nothing. A throw
 * gives the key back for another attempt, a `PermanentError` for none.
 */
export type Handler<Tx = undefined> = (
  context: HandlerContext<Tx>,
) => Promise<Uint8Array | void> | Uint8Array | void

/** What a strategy works with. */
export interface StrategyServices {
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  readonly events: EventSink
  readonly attemptsMax: number
  readonly leaseMs: number
  readonly storeTimeoutMs: number
  /** 0 for no bound. */
  readonly handlerTimeoutMs: number
  /** Whether the store does all that a delivery needs of it, for a key of our own. Never rejects. */
  readonly isStoreUp: () => Promise<boolean>
}

/**
 * What an error means, if something other than that the handler failed. `tx` is what the handler wrote with
 * when it threw; `undefined` for an error of the commit, and outside of transactions.
 */
export type Explain<Tx> = (
  error: unknown,
  tx: Tx | undefined,
) => Promise<ProcessOutcome | undefined> | ProcessOutcome | undefined

/** What of the options a strategy looks at when it checks them. */
export interface CheckedSettings {
  readonly store: Store
  readonly onStoreDown: 'hold' | 'process'
}

/** A strategy whose handlers get the `tx` of whatever store they are used with. */
export interface TransactionStrategy extends Strategy<unknown> {
  readonly givesTx: true
}

/** A strategy that needs no store: what it goes by is elsewhere. */
export interface StorelessStrategy<Tx = undefined> extends Strategy<Tx> {
  readonly needsStore: false
}

/**
 * A way to be idempotent, picked once per deduplicator: how the handler's effect and the record of it are
 * kept together. A new one is one file beside this; nothing else asks which one it is.
 */
export interface Strategy<Tx = undefined> {
  /** Short name for messages, such as `lease`. */
  readonly name: string
  /**
   * Whether messages have records: a claim is asked for each, and its end is written down. If not, no claim
   * is asked and nothing is written by us: something of the user's own is the guard, and the broker counts
   * the starts.
   */
  readonly usesRecords: boolean
  /**
   * Whether a claim has to survive a crash of the store's server. Not where the handler's writes commit with
   * the record or not at all.
   */
  readonly needsDurableClaims: boolean
  /**
   * Whether a consumer's own code may settle the message (the drop-in forms). Not where the record commits
   * with what the handler wrote: there the handler has to return.
   */
  readonly allowsDropIn: boolean
  /**
   * Whether a handler may run without a claim: without a key, or without the store. If not, a delivery
   * without a key gets a claim that nobody else has.
   */
  readonly runsWithoutClaim: boolean
  /**
   * Whether a message's position in its log says whether it is done, so that each must have one, and those of
   * a log must come in its order. False by default.
   */
  readonly followsLog?: boolean
  /**
   * For those: takes a log that the broker has given to this consumer, named by the parts that make it unique
   * in its group. @throws OncemqError while it cannot be taken.
   */
  takeLog?(name: readonly string[], request: LogRequest): Promise<TakenLog>
  /**
   * Whether there must be a store.
   * @default true
   */
  readonly needsStore?: boolean
  /** `handlerTimeoutMs` where the user gives none, in milliseconds; 0 for no bound. */
  defaultHandlerTimeoutMs(leaseMs: number): number
  /** @throws OptionError for options that do not go with this strategy. */
  check(settings: CheckedSettings): void
  /** Completes a claim as handlers' claims are completed, to find out at start whether the server can. */
  readonly completeOnce?: (store: Store, completion: CompleteUpdate) => Promise<UpdateAnswer>
  /**
   * Looks at start whether what it needs of the user's own is there.
   * @throws OncemqError when it is not.
   */
  readonly prepare?: (store: Store) => Promise<readonly Finding[]>
  /** Runs the handler of one start, and ends the start. Never rejects. */
  run(
    start: Start,
    handler: Handler<Tx>,
    services: StrategyServices,
    delivery: Delivery,
  ): Promise<ProcessOutcome>
}
