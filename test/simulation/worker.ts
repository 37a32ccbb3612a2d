import { createDeduplicator, PermanentError } from '@oncemq/core'
import type {
  Deduplicator,
  Delivery,
  Handler,
  HandlerContext,
  Middleware,
  ProcessOutcome,
} from '@oncemq/core'
import { ManagedConsumer } from '@oncemq/core/broker'
import type { Consumer } from '@oncemq/core/broker'
import { recordId } from '@oncemq/core/store'
import type { Broker, BrokerWorld } from './broker.ts'
import { FaultyStore } from './faulty-store.ts'
import type { StoreWorld, Writes } from './faulty-store.ts'
import type { SimMessage } from './message.ts'
import type { Execution } from './oracle.ts'
import { UNKEYED } from './oracle.ts'
import { ProcessClock } from './process-clock.ts'
import type { AdapterMutation, ChannelVerbs, SimHeld } from './source.ts'
import { SimSource, SOURCE } from './source.ts'

export const GROUP = 'simulated'

export function idOf({ key, number }: Pick<SimMessage, 'key' | 'number'>): string {
  return key === undefined ? `${UNKEYED}${number}` : recordId(GROUP, key, { source: SOURCE })
}

/** One call of `process` by the engine, for those that do it wrongly. */
export interface ProcessCall {
  readonly dedup: Deduplicator<Writes>
  readonly delivery: Delivery
  readonly handler: Handler<Writes>
  readonly held: SimHeld
  readonly channel: ChannelVerbs
}

/** What a mutant replaces around the engine of a process. */
export interface WorkerMutation {
  readonly adapter?: AdapterMutation
  readonly process?: (call: ProcessCall, worker: Worker) => Promise<ProcessOutcome>
  readonly available?: (dedup: Deduplicator<Writes>, worker: Worker, signal?: AbortSignal) => Promise<boolean>
  readonly middlewares?: readonly Middleware<SimMessage, ProcessOutcome>[]
  readonly holdMs?: number
  readonly handlerTimeoutMs?: number
}

export interface World extends StoreWorld, BrokerWorld {
  /** Whether everything succeeds from now on: what was put aside is replayed. */
  readonly isHealed: () => boolean
}

/** Longer than any run. */
const RETENTION_MS = 30 * 86_400_000
const SKEW_MS_MAX = 5 * 3_600_000

/**
 * One process: the production core and engine with a clock of its own, and connections to store and broker.
 */
export class Worker {
  readonly clock: ProcessClock
  readonly dedup: Deduplicator<Writes>
  readonly world: World
  readonly #mutation: WorkerMutation
  readonly #source: SimSource
  readonly #received = new WeakMap<Uint8Array, { held: SimHeld; channel: ChannelVerbs }>()
  readonly #onOver: (worker: Worker) => void
  #consumer: Consumer | undefined
  readonly #spares: Deduplicator<Writes>[] = []
  #isOver = false

  constructor(world: World, broker: Broker, mutation: WorkerMutation, onOver: (worker: Worker) => void) {
    this.world = world
    this.#mutation = mutation
    this.#onOver = onOver
    this.clock = new ProcessClock(world.clock, world.dice.integer(-SKEW_MS_MAX, SKEW_MS_MAX))
    this.dedup = this.deduplicator()
    this.#source = new SimSource(broker, world, this.clock, mutation.adapter ?? {}, (held, channel) =>
      this.#received.set(held.body, { held, channel }),
    )
    void this.#start()
  }

  /** One of two further deduplicators of this process. */
  spare(which: number): Deduplicator<Writes> {
    const known = this.#spares[which] ?? this.deduplicator()
    this.#spares[which] = known
    return known
  }

  /** A deduplicator of this process. */
  deduplicator(): Deduplicator<Writes> {
    const { oracle, plan, dice } = this.world
    const { attemptsMax, busyTimeoutMs, doneCacheMax, leaseMs, outageHoldMs, storeTimeoutMs, waitersMax } =
      plan
    const dedup = createDeduplicator<Writes>({
      store: new FaultyStore(this.world, this.clock),
      consumerGroup: GROUP,
      clock: this.clock,
      random: dice,
      strategy: plan.strategy as 'transactional',
      attemptsMax,
      busyTimeoutMs,
      doneCacheMax,
      handlerTimeoutMs: this.#mutation.handlerTimeoutMs ?? plan.handlerTimeoutMs,
      leaseMs,
      outageHoldMs,
      retentionMs: RETENTION_MS,
      storeTimeoutMs,
      waitersMax,
      logger: { warn: (message) => oracle.tell(`warning: ${message}`) },
    })
    dedup.on('unconfirmed', ({ key }) => oracle.unconfirmed(idOf({ key, number: 0 })))
    dedup.on('outage', () => (oracle.sawOutage = true))
    for (const name of ['busy', 'lost', 'duplicate', 'outage', 'recovered', 'deadLettered'] as const) {
      dedup.on(name, () => oracle.tell(name))
    }
    return dedup
  }

  cut(): void {
    if (this.clock.state !== 'dead') this.#source.cut()
  }

  pause(): void {
    this.world.oracle.disturbed(this.clock)
    this.clock.pause()
  }

  /** Ends the process, as its handler of `poison` does, or for another reason. */
  kill(poison?: string): void {
    if (this.clock.state === 'dead') return
    this.world.oracle.tell(`killed${poison === undefined ? '' : ' by a handler'}`)
    this.clock.kill()
    this.world.oracle.crashed(this.clock, poison)
    this.#source.killed()
    this.#over()
  }

  /** Ends the process in order, or in the wrong order. */
  async close({ dedupFirst = false } = {}): Promise<void> {
    this.world.oracle.disturbed(this.clock)
    this.world.oracle.tell(dedupFirst ? 'closes its deduplicator' : 'closes')
    if (dedupFirst) await this.dedup.close()
    await this.#consumer?.close()
    await this.dedup.close()
    this.#over()
  }

  get isOver(): boolean {
    return this.#isOver
  }

  #over(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#onOver(this)
  }

  async #start(): Promise<void> {
    const { retryFirstMs, retryMaxMs, window, concurrency, holdMs } = this.world.plan
    try {
      this.#consumer = await ManagedConsumer.start<Writes, SimMessage>({
        dedup: this.#wrapped(),
        source: this.#source,
        key: ({ key }) => key,
        handler: async ({ message }, context) => {
          await this.#work(message, context)
          return undefined
        },
        middlewares: [...(this.#mutation.middlewares ?? []), (message, next) => this.#around(message, next)],
        retry: { firstMs: retryFirstMs, factor: 2, maxMs: retryMaxMs },
        window,
        concurrency,
        holdMs: this.#mutation.holdMs ?? holdMs,
        onEnd: () => void this.close(),
      })
    } catch (error) {
      this.world.oracle.tell(`does not start: ${(error as Error).message}`)
      await this.dedup.close()
      this.#over()
    }
  }

  #wrapped(): Deduplicator<Writes> {
    const { process, available } = this.#mutation
    return new Proxy(this.dedup, {
      get: (dedup, name) => {
        if (name === 'process' && process !== undefined) {
          return (delivery: Delivery, handler: Handler<Writes>) => {
            const received = this.#received.get(delivery.body as Uint8Array)
            return received && process({ dedup, delivery, handler, ...received }, this)
          }
        }
        if (name === 'available' && available !== undefined) {
          return (signal?: AbortSignal) => available(dedup, this, signal)
        }
        const value: unknown = Reflect.get(dedup, name, dedup)
        return typeof value === 'function' ? (value.bind(dedup) as unknown) : value
      },
    })
  }

  async #around(message: SimMessage, next: () => Promise<ProcessOutcome>): Promise<ProcessOutcome> {
    const { isHealed, messages } = this.world
    if (!message.isRefused || isHealed()) return next()
    messages.middlewareThrew(message)
    throw new Error('simulated: a middleware')
  }

  async #work(message: SimMessage, context: HandlerContext<Writes>): Promise<void> {
    const { dice, isFaulty, isHealed, messages, oracle, plan } = this.world
    const { signal, epoch, attempt, tx } = context
    const id = idOf(message)
    const pausesBefore = this.clock.pauses
    const execution: Execution = {
      id,
      epoch,
      attempt,
      process: this.clock,
      hasKey: message.key !== undefined,
      excused: () => this.clock.state !== 'running' || this.clock.pauses > pausesBefore,
      aborted: () => signal.aborted,
      running: true,
    }
    messages.started(message)
    oracle.started(execution)
    signal.addEventListener('abort', () => oracle.gaveUp(id))
    for (let step = 0; step < 3; step += 1)
      await this.#sleep(dice.integer(0, Math.floor(plan.handlerMsMax / 3)))
    const kind = isHealed() ? 'fine' : message.kind
    if (kind === 'poison') return this.#poison(id)
    if (kind === 'hung') return this.#hang(execution, signal)
    if (kind === 'failing' || (kind === 'flaky' && isFaulty() && dice.chance(plan.chances.flaky))) {
      oracle.ended(execution, 'failed')
      throw new Error('simulated')
    }
    if (kind === 'permanent') {
      oracle.ended(execution, 'permanent')
      throw new PermanentError('simulated')
    }
    if (plan.strategy === 'transactional' && message.key !== undefined) tx.ids.push(id)
    const isCut = plan.strategy === 'transactional' && kind === 'cutting'
    if (isCut) tx.isCut = true
    oracle.ended(execution, isCut ? 'failed' : 'ok')
  }

  #poison(id: string): Promise<never> {
    this.kill(id)
    return new Promise(() => {})
  }

  #hang(execution: Execution, signal: AbortSignal): Promise<never> {
    signal.addEventListener('abort', () => execution.running && this.world.oracle.ended(execution, 'failed'))
    return new Promise(() => {})
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.clock.after(delayMs, resolve))
  }
}
