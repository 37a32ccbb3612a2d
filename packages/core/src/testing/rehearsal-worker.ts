import { createDeduplicator } from '../create-deduplicator.ts'
import type { Deduplicator } from '../deduplicator.ts'
import type { HandlerContext } from '../delivery/context.ts'
import type { ProcessOutcome } from '../delivery/outcome.ts'
import type { Store } from '../store/contract.ts'
import type { Clock } from '../time/clock.ts'
import type { VirtualClock } from '../time/virtual-clock.ts'

/** What a handler does to the world outside, by name. */
export type Effects = Readonly<Record<string, (...args: never[]) => unknown>>

export interface EffectCall {
  readonly name: string
  readonly carriesKey: boolean
}

/** What goes wrong at one call of an effect, the first of which is 1. */
export interface Fault {
  readonly call: number
  readonly kind: 'crash' | 'no-answer'
}

interface WorkerOptions<Calls extends Effects> {
  readonly clock: VirtualClock
  readonly store: Store
  readonly effects: Calls
  readonly fault: Fault | undefined
  readonly tell: (call: EffectCall) => void
}

const SEARCH_DEPTH_MAX = 8

/**
 * A process of a rehearsal. When it has died nothing of it happens any more: its timers do not fire, its
 * store and its effects never answer.
 */
export class RehearsalWorker<Calls extends Effects> {
  readonly #dedup: Deduplicator
  readonly #options: WorkerOptions<Calls>
  readonly #death: Promise<'dead'>
  #die: () => void = () => undefined
  #isDead = false
  #handlers = 0
  #calls = 0

  constructor(options: WorkerOptions<Calls>) {
    this.#options = options
    this.#death = new Promise((resolve) => (this.#die = () => resolve('dead')))
    this.#dedup = createDeduplicator({
      store: this.#storeOver(options.store),
      consumerGroup: 'rehearsal',
      clock: this.#clockOver(options.clock),
      logger: { warn: () => undefined },
    })
  }

  get isHandling(): boolean {
    return !this.#isDead && this.#handlers > 0
  }

  /** What comes of a delivery, or the death of the process. */
  process(
    key: string,
    handler: (context: HandlerContext, effects: Calls) => unknown,
  ): Promise<ProcessOutcome | 'dead'> {
    const outcome = this.#dedup.process({ key }, (context) => this.#handle(context, handler))
    return Promise.race([outcome, this.#death])
  }

  #clockOver(clock: Clock): Clock {
    return {
      nowMs: () => clock.nowMs(),
      monotonicMs: () => clock.monotonicMs(),
      after: (delayMs, action) => clock.after(delayMs, () => this.#isDead || action()),
    }
  }

  #storeOver(store: Store): Store {
    return {
      name: store.name,
      guarantees: store.guarantees,
      batching: store.batching,
      open: () => store.open(),
      claim: (batch) => this.#answer(() => store.claim(batch)),
      update: (batch) => this.#answer(() => store.update(batch)),
      inspect: (ids) => this.#answer(() => store.inspect(ids)),
      forget: (ids) => this.#answer(() => store.forget(ids)),
      close: () => store.close(),
    }
  }

  async #handle(
    context: HandlerContext,
    handler: (context: HandlerContext, effects: Calls) => unknown,
  ): Promise<void> {
    const ids = new Set(context.key === undefined ? [] : [context.key])
    const childId = (name: string): string => {
      const id = context.childId(name)
      ids.add(id)
      return id
    }
    this.#handlers += 1
    try {
      await handler({ ...context, childId }, this.#effectsFor(ids))
    } finally {
      this.#handlers -= 1
    }
  }

  #effectsFor(ids: ReadonlySet<string>): Calls {
    const { effects } = this.#options
    const wrapped = Object.entries(effects).map(([name, effect]) => [
      name,
      (...args: never[]) => this.#call(name, effect, args, ids),
    ])
    return Object.fromEntries(wrapped) as Calls
  }

  #call(name: string, effect: Effects[string], args: never[], ids: ReadonlySet<string>): unknown {
    if (this.#isDead) return never()
    const { fault, tell } = this.#options
    const call = (this.#calls += 1)
    tell({ name, carriesKey: contains(args, ids, SEARCH_DEPTH_MAX) })
    const answer = effect(...args)
    if (fault?.call !== call) return answer
    const strike = (): unknown => {
      if (fault.kind === 'no-answer') throw new Error(`${name}: the answer is lost`)
      this.#isDead = true
      this.#die()
      return never()
    }
    if (!(answer instanceof Promise)) return strike()
    const struck = answer.then(strike)
    // Of a handler that does not wait for it.
    struck.catch(() => undefined)
    return struck
  }

  async #answer<Value>(call: () => Promise<Value>): Promise<Value> {
    if (this.#isDead) return never()
    const value = await call()
    return this.#isDead ? never() : value
  }
}

function never<Value>(): Promise<Value> {
  return new Promise(() => undefined)
}

/** Whether one of these is a value, or part of one, within what was given. */
function contains(value: unknown, ids: ReadonlySet<string>, depth: number): boolean {
  if (typeof value === 'string') return [...ids].some((id) => value.includes(id))
  if (typeof value !== 'object' || value === null || depth === 0) return false
  return Object.values(value).some((part) => contains(part, ids, depth - 1))
}
