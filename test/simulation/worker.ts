import { Deduplicator, PermanentError } from '@oncemq/core'
import { recordId } from '@oncemq/core/store'
import { retryDefaults, settlementOf } from '@oncemq/core/broker'
import type { HandlerContext, ProcessOutcome } from '@oncemq/core'
import type { Settlement } from '@oncemq/core/broker'
import type { Broker, Channel, Handed } from './broker.ts'
import type { Execution } from './oracle.ts'
import { FaultyStore } from './faulty-store.ts'
import type { StoreWorld, Writes } from './faulty-store.ts'
import { ProcessClock } from './process-clock.ts'

export const GROUP = 'simulated'

/** What an adapter does with a delivery. A mutant does it wrongly. */
export type Consume = (
  dedup: Deduplicator<Writes>,
  key: string,
  handler: (context: HandlerContext<Writes>) => Promise<void>,
) => Promise<{ readonly settlement: Settlement; readonly outcome: ProcessOutcome | undefined }>

/** As the design's table has it. */
export const soundConsume: Consume = async (dedup, key, handler) => {
  const outcome = await dedup.process({ key }, handler)
  const settlement = settlementOf(outcome, { retry: retryDefaults, onUnconfirmed: 'ack' })
  return { settlement, outcome }
}

const SKEW_MS_MAX = 5 * 3_600_000

/** One process: the production core with a clock of its own, a connection to the store, and a channel. */
export class Worker {
  readonly clock: ProcessClock
  readonly dedup: Deduplicator<Writes>
  readonly #world: StoreWorld
  readonly #broker: Broker
  readonly #consume: Consume
  #channel: Channel | undefined

  constructor(world: StoreWorld, broker: Broker, consume: Consume) {
    const { plan, dice } = world
    this.#world = world
    this.#broker = broker
    this.#consume = consume
    this.clock = new ProcessClock(world.clock, dice.integer(-SKEW_MS_MAX, SKEW_MS_MAX))
    this.dedup = new Deduplicator<Writes>({
      store: new FaultyStore(world, this.clock),
      consumerGroup: GROUP,
      clock: this.clock,
      random: dice,
      strategy: plan.strategy,
      leaseMs: plan.leaseMs,
      storeTimeoutMs: plan.storeTimeoutMs,
      busyTimeoutMs: plan.busyTimeoutMs,
      waitersMax: plan.waitersMax,
      outageHoldMs: plan.outageHoldMs,
      doneCacheMax: plan.doneCacheMax,
      attemptsMax: plan.attemptsMax,
    })
    this.connect()
  }

  /** Consumes, on a new channel after the old one was cut. */
  connect(): void {
    if (this.#channel?.isOpen) return
    const channel = this.#broker.connect((handed) => this.clock.happen(() => void this.#handle(handed)))
    this.#channel = channel
  }

  /** Cuts the connection to the broker. What runs goes on; the client comes back a little later. */
  cut(): void {
    if (this.#channel === undefined || this.clock.state === 'dead') return
    this.#broker.cut(this.#channel)
    this.clock.after(this.#world.dice.integer(1, 500), () => this.connect())
  }

  kill(): void {
    this.clock.kill()
    if (this.#channel !== undefined) this.#broker.cut(this.#channel)
  }

  async #handle(handed: Handed): Promise<void> {
    const id = recordId(GROUP, handed.key)
    const { settlement, outcome } = await this.#consume(this.dedup, handed.key, (context) =>
      this.#work(id, context),
    )
    this.clock.happen(() => {
      this.#world.oracle.tell(`outcome ${outcome?.status}`)
      if (!this.#broker.settle(handed, settlement)) return
      if (settlement.action === 'ack') this.#world.oracle.acked(id, outcome?.status === 'unconfirmed')
      if (settlement.action === 'dead-letter') this.#world.oracle.deadLettered(id, this.#mayDeadLetter())
    })
  }

  async #work(id: string, context: HandlerContext<Writes>): Promise<void> {
    const { dice, oracle, plan, isFaulty } = this.#world
    const { signal, epoch, tx } = context
    const pausesBefore = this.clock.pauses
    const excused = (): boolean => this.clock.state !== 'running' || this.clock.pauses > pausesBefore
    const execution: Execution = { id, epoch, excused, aborted: () => signal.aborted, running: true }
    oracle.started(execution)
    for (let step = 0; step < 3; step += 1)
      await this.#sleep(dice.integer(0, Math.floor(plan.handlerMsMax / 3)))
    const { handlerFails, permanent } = plan.chances
    if (isFaulty() && dice.chance(handlerFails)) {
      oracle.ended(execution, false)
      throw dice.chance(permanent) ? new PermanentError('simulated') : new Error('simulated')
    }
    if (plan.strategy === 'transactional') tx.ids.push(id)
    oracle.ended(execution, true)
  }

  #mayDeadLetter(): boolean {
    const { attemptsMax, chances } = this.#world.plan
    return attemptsMax < 1000 || chances.permanent > 0
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.clock.after(delayMs, resolve))
  }
}
