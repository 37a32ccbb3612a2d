import { MemoryStore } from '@oncemq/core'
import { recordId } from '@oncemq/core/store'
import { VirtualClock } from '@oncemq/core/testing'
import { Broker } from './broker.ts'
import { Dice } from './dice.ts'
import { soundServer } from './faulty-store.ts'
import type { Server, StoreWorld } from './faulty-store.ts'
import { Oracle } from './oracle.ts'
import { planOf } from './plan.ts'
import type { Plan } from './plan.ts'
import { GROUP, soundConsume, Worker } from './worker.ts'
import type { Consume } from './worker.ts'

/** What a mutant replaces. */
export interface Mutation {
  readonly server?: (memory: MemoryStore) => Server
  readonly consume?: Consume
}

export interface Report {
  readonly plan: Plan
  readonly violations: readonly string[]
  readonly history: readonly string[]
}

const STEPS_MAX = 200_000
/** Once nothing fails any more, this many leases and retries are enough for everything to end. */
const REST_MS = 3_600_000
const CLOSE_MS = 600_000

/** Runs the schedule of a seed to its end, and tells what the oracle saw. */
export async function simulate(seed: number, mutation: Mutation = {}): Promise<Report> {
  const plan = planOf(seed)
  const dice = new Dice(seed ^ 0x5eed)
  const clock = new VirtualClock()
  const oracle = new Oracle(() => clock.monotonicMs(), plan.strategy === 'transactional')
  const memory = new MemoryStore({ clock, keysMax: 10_000 })
  const outages = outagesOf(plan, dice)
  const isFaulty = (): boolean => clock.monotonicMs() < plan.faultsEndMs
  const world: StoreWorld = {
    clock,
    dice,
    oracle,
    plan,
    memory,
    isFaulty,
    server: (mutation.server ?? soundServer)(memory),
    isDown: () =>
      outages.some(({ fromMs, toMs }) => fromMs <= clock.monotonicMs() && clock.monotonicMs() < toMs),
  }
  const broker = new Broker(clock, dice, plan.prefetch, () => isFaulty() && dice.chance(plan.chances.twice))
  const workers = Array.from(
    { length: plan.workers },
    () => new Worker(world, broker, mutation.consume ?? soundConsume),
  )
  const ids = publish(world, broker)
  scheduleFaults(world, workers, () => new Worker(world, broker, mutation.consume ?? soundConsume))
  await advance(clock, () => broker.open === 0 && !isFaulty(), plan.faultsEndMs + REST_MS)
  if (broker.open > 0) oracle.stuck(`${broker.open} messages have not come to their end`)
  await closeAll(clock, oracle, workers)
  if (oracle.violations.length === 0) oracle.finished(ids())
  return { plan, violations: oracle.violations, history: oracle.history }
}

/**
 * Publishes the messages over the faulty time. Answers the ids of the keys that were acked without being
 * rejected.
 */
function publish({ clock, dice, plan }: StoreWorld, broker: Broker): () => Iterable<string> {
  const keys = new Set<string>()
  for (let message = 0; message < plan.messages; message += 1) {
    const key = `key-${dice.integer(1, plan.keys)}`
    keys.add(key)
    clock.after(dice.integer(0, plan.faultsEndMs / 2), () => broker.publish(message, key))
  }
  const mayBeRejected = plan.attemptsMax < 1000 || plan.chances.permanent > 0
  return () => (mayBeRejected ? [] : [...keys].map((key) => recordId(GROUP, key)))
}

function outagesOf({ chances, faultsEndMs, leaseMs }: Plan, dice: Dice): { fromMs: number; toMs: number }[] {
  if (!dice.chance(chances.outage)) return []
  return Array.from({ length: dice.integer(1, 3) }, () => {
    const fromMs = dice.integer(0, faultsEndMs)
    return { fromMs, toMs: Math.min(faultsEndMs, fromMs + dice.integer(0, 3 * leaseMs)) }
  })
}

/** Kills, pauses and cuts, at most some dozen times, each ten times a lease at most. */
function scheduleFaults({ clock, dice, plan }: StoreWorld, workers: Worker[], replace: () => Worker): void {
  const { chances, leaseMs } = plan
  const at = (chance: number, fault: (worker: Worker) => void): void => {
    for (let count = 0; count < 8; count += 1) {
      if (!dice.chance(chance)) continue
      clock.after(dice.integer(0, plan.faultsEndMs - 1), () => fault(dice.pick(workers)))
    }
  }
  at(chances.kill, (worker) => {
    worker.kill()
    workers[workers.indexOf(worker)] = replace()
  })
  at(chances.pause, (worker) => {
    worker.clock.pause()
    clock.after(dice.integer(1, 3 * leaseMs), () => worker.clock.resume())
  })
  at(chances.cut, (worker) => worker.cut())
}

async function closeAll(clock: VirtualClock, oracle: Oracle, workers: readonly Worker[]): Promise<void> {
  let closed = 0
  for (const { dedup } of workers) {
    void dedup.close().then(() => {
      closed += 1
      if (dedup.counts().warning > 0 && dedup.outage === undefined) oracle.tell('closed with warnings')
    })
  }
  await advance(clock, () => closed === workers.length, clock.monotonicMs() + CLOSE_MS)
  if (closed < workers.length) oracle.stuck(`${workers.length - closed} deduplicators did not close`)
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
