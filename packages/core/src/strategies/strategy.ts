import type { RunningClaim } from '../claims/claim.ts'
import type { HandlerContext } from '../delivery/context.ts'
import type { ProcessOutcome } from '../delivery/outcome.ts'
import type { EventSink } from '../observe/events.ts'
import type { CompleteUpdate, Store, UpdateAnswer } from '../store/contract.ts'
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
}

/** What of the options a strategy looks at when it checks them. */
export interface CheckedSettings {
  readonly store: Store
  readonly onStoreDown: 'hold' | 'process'
}

/**
 * A way to be idempotent, picked once per deduplicator: how the handler's effect and the record of it are
 * kept together. A new one is one file beside this; nothing else asks which one it is.
 */
export interface Strategy<Tx = undefined> {
  /** Short name for messages, such as `lease`. */
  readonly name: string
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
  /** `handlerTimeoutMs` where the user gives none, in milliseconds; 0 for no bound. */
  defaultHandlerTimeoutMs(leaseMs: number): number
  /** @throws OptionError for options that do not go with this strategy. */
  check(settings: CheckedSettings): void
  /** Completes a claim as handlers' claims are completed, to find out at start whether the server can. */
  readonly completeOnce?: (store: Store, completion: CompleteUpdate) => Promise<UpdateAnswer>
  /** Runs the handler under a granted claim, and ends the claim. Never rejects. */
  run(claim: RunningClaim, handler: Handler<Tx>, services: StrategyServices): Promise<ProcessOutcome>
}
