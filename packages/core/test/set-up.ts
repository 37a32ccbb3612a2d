import { createDeduplicator } from '../src/index.ts'
import { VirtualClock } from '../src/testing/index.ts'
import type { DeduplicatorOptions, EventName, Events } from '../src/index.ts'
import type { Random, StoreBatching } from '../src/store/index.ts'
import { recordId } from '../src/delivery/identity.ts'
import { eventNames } from '../src/observe/events.ts'
import { ScriptedStore } from './scripted-store.ts'

export const GROUP = 'billing'

/** Counts instead of dice, and jitter in the middle: waits are three quarters of their bound. */
export function countedRandom(): Random {
  let count = 0
  return { claimId: () => (++count).toString(16).padStart(32, '0'), fraction: () => 0.5 }
}

type Told = { [Name in EventName]: { readonly name: Name } & Events[Name] }[EventName]

interface SetUp extends Partial<Omit<DeduplicatorOptions, 'store'>> {
  readonly batching?: StoreBatching
  /** Another worker's: both share the store and the time. */
  readonly beside?: { readonly clock: VirtualClock; readonly store: ScriptedStore }
  /** Another worker's: both share the records and the time, but each has a connection of its own. */
  readonly apartFrom?: { readonly clock: VirtualClock; readonly store: ScriptedStore }
}

/** An opened deduplicator in virtual time, on a store that does what the test says, with its events. */
export async function setUp({ batching, beside, apartFrom, ...options }: SetUp = {}) {
  const other = beside ?? apartFrom
  const clock = other?.clock ?? new VirtualClock()
  const store = beside?.store ?? new ScriptedStore(clock, batching, apartFrom?.store.memory)
  const random = other === undefined ? countedRandom() : undefined
  const dedup = createDeduplicator({
    consumerGroup: GROUP,
    sweepEveryMs: 0,
    ...(random && { random }),
    ...options,
    store,
    clock,
  })
  const told: Told[] = []
  for (const name of eventNames) dedup.on(name, (event) => told.push({ name, ...event } as Told))
  await dedup.open()
  store.calls.length = 0
  return {
    clock,
    store,
    dedup,
    told,
    names: () => told.map(({ name }) => name),
    id: (key: string) => recordId(GROUP, key),
  }
}

/** A handler that ends when the test says so. */
export function heldHandler() {
  const started: string[] = []
  const held: PromiseWithResolvers<void>[] = []
  return {
    started,
    handler: (name: string) => async () => {
      started.push(name)
      const gate = Promise.withResolvers<void>()
      held.push(gate)
      await gate.promise
    },
    /** Ends the oldest that runs. */
    end: () => held.shift()?.resolve(),
    fail: (error: unknown) => held.shift()?.reject(error),
  }
}
