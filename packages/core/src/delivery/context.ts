import type { Claim } from '../claims/claim.ts'

/** What a handler knows about its run. */
export interface HandlerContext<Tx = undefined> {
  /** The delivery's key, to hand on as idempotency key; `undefined` when it runs without protection. */
  readonly key: string | undefined
  /** Rises with each grant of the key: a fencing token. 0 without protection. */
  readonly epoch: number
  /** Which start this is, from 1. */
  readonly attempt: number
  /** Aborts when the lease is lost or the handler's time is over: stop, for another worker may start. */
  readonly signal: AbortSignal
  /** With strategy `transactional`, what the handler writes with; the store says its type. */
  readonly tx: Tx
}

interface UnclaimedContext {
  readonly attempt?: number
  readonly signal?: AbortSignal | undefined
}

/**
 * The context of a claim's handler, or of one that runs without protection. The signal is made when it is
 * first read, and is an own property, so that a copy of the context has it.
 */
export function contextOf<Tx>(
  claim: Claim | undefined,
  tx: Tx,
  { attempt = 1, signal }: UnclaimedContext = {},
): HandlerContext<Tx> {
  if (claim === undefined) {
    // Not one signal for all: it would gather what handlers leave on it.
    return { key: undefined, epoch: 0, attempt, signal: signal ?? new AbortController().signal, tx }
  }
  return new ClaimContext(claim, tx)
}

const CLAIM = Symbol('claim')

/**
 * The claim is seen neither by a copy nor by what prints a context, and is found through a proxy too. One
 * getter for all: with a closure for each, in an object literal, each context had its own hidden class,
 * which kept its claim in memory until the whole heap was collected.
 */
class ClaimContext<Tx> implements HandlerContext<Tx> {
  static readonly #signal = {
    get(this: ClaimContext<unknown>) {
      return this[CLAIM].signal
    },
    enumerable: true,
  }

  readonly key: string
  readonly epoch: number
  readonly attempt: number
  readonly tx: Tx
  declare readonly signal: AbortSignal
  declare readonly [CLAIM]: Claim

  constructor(claim: Claim, tx: Tx) {
    this.key = claim.key
    this.epoch = claim.epoch
    this.attempt = claim.attempt
    this.tx = tx
    Object.defineProperty(this, CLAIM, { value: claim })
    Object.defineProperty(this, 'signal', ClaimContext.#signal)
  }
}
