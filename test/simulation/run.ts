import { MemoryStore } from '@oncemq/core'
import { VirtualClock } from '@oncemq/core/testing'
import { Broker } from './broker.ts'
import { Dice } from './dice.ts'
import { scheduleFaults } from './faults.ts'
import { soundServer } from './faulty-store.ts'
import type { Server } from './faulty-store.ts'
import type { SimMessage } from './message.ts'
import { MessageOracle } from './message-oracle.ts'
import { Oracle } from './oracle.ts'
import { isWithin, periodsOf, planOf } from './plan.ts'
import type { KeyKind, Plan } from './plan.ts'
import { idOf, Worker } from './worker.ts'
import type { World, WorkerMutation } from './worker.ts'

/** What a mutant replaces. */
export interface Mutation extends WorkerMutation {
  readonly server?: (memory: MemoryStore) => Server
  /** What a seed's plan is to be, so that the fault shows soon. */
  readonly plan?: (plan: Plan) => Partial<Plan>
  /** How long everything may take to end once faults have stopped. */
  readonly restMs?: number
}

export interface Report {
  readonly plan: Plan
  readonly violations: readonly string[]
  readonly history: readonly string[]
}

const STEPS_MAX = 3_000_000
/** Once nothing fails any more, everything ends: waits grow up to a day. */
const REST_MS = 4 * 86_400_000
const CLOSE_MS = 600_000
const [RESTART_MS_MIN, RESTART_MS_MAX] = [2000, 15_000]

/** Runs the schedule of a seed to its end, and tells what the oracle saw. */
export async function simulate(seed: number, mutation: Mutation = {}): Promise<Report> {
  const sound = planOf(seed)
  const plan: Plan = { ...sound, ...mutation.plan?.(sound) }
  const { world, heal } = worldOf(plan, mutation)
  const { clock, messages, oracle, isFaulty } = world
  const broker = new Broker(world)
  const crew = new Crew(world, broker, mutation)
  publish(world, broker)
  scheduleFaults(world, broker, crew.workers)
  // What was violated is told at once: what follows may never end.
  const isViolated = (): boolean => oracle.violations.length > 0
  const isOver = (): boolean => isViolated() || (messages.open === 0 && !isFaulty())
  await advance(clock, isOver, plan.faultsEndMs + (mutation.restMs ?? REST_MS))
  if (isViolated()) return { plan, violations: oracle.violations, history: oracle.history }
  if (messages.open > 0) oracle.stuck(`messages have not come to their end: ${messages.openNames}`)
  else await replay(world, broker, heal)
  await crew.close()
  if (oracle.violations.length === 0) messages.finished()
  return { plan, violations: oracle.violations, history: oracle.history }
}

function worldOf(plan: Plan, mutation: Mutation): { world: World; heal: () => void } {
  const dice = new Dice(plan.seed ^ 0x5eed)
  const clock = new VirtualClock()
  const nowMs = (): number => clock.monotonicMs()
  const oracle = new Oracle(nowMs, plan)
  const memory = new MemoryStore({ clock, keysMax: 10_000 })
  const { chances, outageMsMax } = plan
  const within = (chance: number, msMax: number): (() => boolean) => {
    const periods = periodsOf(plan, dice, chance, msMax)
    return () => isWithin(periods, nowMs())
  }
  let isHealed = false
  const world: World = {
    clock,
    dice,
    oracle,
    plan,
    memory,
    messages: new MessageOracle(oracle, plan, nowMs, idOf),
    isFaulty: () => nowMs() < plan.faultsEndMs,
    isHealed: () => isHealed,
    server: (mutation.server ?? soundServer)(memory),
    isDown: within(chances.outage, outageMsMax),
    isBrownedOut: within(chances.brownout, Math.min(outageMsMax, 3_600_000)),
    isRefusing: within(chances.refusal, Math.min(outageMsMax, 3_600_000)),
    isBrokerDown: within(chances.brokerDown, 10 * plan.leaseMs),
    isAlarmed: within(chances.alarm, plan.alarmMsMax),
  }
  // Who waits behind slow handlers by its own settings is held for long.
  const slowestMs = Math.max(plan.handlerMsMax, hungMs(plan), cutMs(plan))
  const queueMs = (plan.window / plan.concurrency) * slowestMs
  oracle.isExcusedFromHolding = chances.stuck > 0 || chances.pause > 0 || queueMs > 240_000
  return { world, heal: () => (isHealed = true) }
}

function hungMs({ chances, handlerTimeoutMs }: Plan): number {
  return chances.hung > 0 ? handlerTimeoutMs : 0
}

/** After a handler that was cut the store is asked whether it works: five calls, and a transaction. */
function cutMs({ chances, storeMsMax }: Plan): number {
  return chances.cutting > 0 ? 13 * storeMsMax : 0
}

/** Publishes the messages over the faulty time. */
function publish({ clock, dice, plan }: World, broker: Broker): void {
  const kinds = new Map<string, KeyKind>()
  for (let number = 1; number <= plan.messages; number += 1) {
    const isUnkeyed = !plan.isOrdered && dice.chance(plan.chances.unkeyed)
    const key = isUnkeyed ? undefined : `key-${plan.isOrdered ? number : dice.integer(1, plan.keys)}`
    const kind = kinds.get(key ?? '') ?? kindOf(plan, dice)
    if (key !== undefined) kinds.set(key, kind)
    const message: SimMessage = Object.freeze({
      number,
      key,
      order: plan.isOrdered ? `order-${number % 3}` : undefined,
      kind,
      isUnsendable: dice.chance(plan.chances.unsendable),
      isRefused: dice.chance(plan.chances.middleware),
    })
    const atMs = plan.isOrdered ? number * 10 : dice.integer(0, plan.faultsEndMs / 2)
    clock.after(atMs, () => broker.publish(message))
  }
}

function kindOf({ chances }: Plan, dice: Dice): KeyKind {
  for (const kind of ['failing', 'permanent', 'poison', 'hung'] as const) {
    if (dice.chance(chances[kind])) return kind
  }
  if (chances.cutting > 0 && dice.chance(chances.cutting)) return 'cutting'
  return chances.flaky > 0 && dice.chance(0.5) ? 'flaky' : 'fine'
}

/** What was put aside is sent again when its cause is mended: it must run. */
async function replay({ clock, messages, oracle }: World, broker: Broker, heal: () => void): Promise<void> {
  const dead = new Map(messages.letters.map(({ message }) => [message.number, message]))
  heal()
  // A process that ended before it could forgive the key leaves it spent: then the second replay runs.
  for (let round = 0; round < 2; round += 1) {
    for (const message of dead.values()) if (!oracle.hasSucceeded(idOf(message))) broker.publish(message)
    await advance(
      clock,
      () => messages.open === 0 || oracle.violations.length > 0,
      clock.monotonicMs() + REST_MS,
    )
  }
  if (messages.open > 0) oracle.stuck(`replayed messages have not come to their end: ${messages.openNames}`)
  for (const message of dead.values()) {
    if (!oracle.hasSucceeded(idOf(message)))
      oracle.violated(`replay-runs: message ${message.number} did not run`)
  }
}

/** The processes, each of which is replaced when it ends. */
class Crew {
  readonly workers: Worker[] = []
  readonly #world: World
  #isClosing = false

  constructor(world: World, broker: Broker, mutation: Mutation) {
    this.#world = world
    const hire = (): void => {
      const worker = new Worker(world, broker, mutation, (over) => {
        this.workers.splice(this.workers.indexOf(over), 1)
        if (!this.#isClosing) world.clock.after(world.dice.integer(RESTART_MS_MIN, RESTART_MS_MAX), hire)
      })
      this.workers.push(worker)
    }
    for (let count = 0; count < world.plan.workers; count += 1) hire()
  }

  async close(): Promise<void> {
    const { clock, oracle } = this.#world
    this.#isClosing = true
    const all = Array.from(this.workers)
    for (const worker of all) void worker.close()
    await advance(clock, () => all.every(({ isOver }) => isOver), clock.monotonicMs() + CLOSE_MS)
    const open = all.filter(({ isOver }) => !isOver).length
    if (open > 0) oracle.stuck(`${open} consumers did not close`)
  }
}

/** Goes from timer to timer until `isOver`, or until nothing can happen any more. */
async function advance(clock: VirtualClock, isOver: () => boolean, untilMs: number): Promise<void> {
  for (let steps = 0; steps < STEPS_MAX; steps += 1) {
    await new Promise((resolve) => setImmediate(resolve))
    const nextInMs = clock.nextInMs
    if (isOver() || nextInMs === undefined || clock.monotonicMs() + nextInMs > untilMs) return
    clock.advance(nextInMs)
  }
}
