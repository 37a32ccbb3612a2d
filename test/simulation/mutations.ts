// What the mutants of the engine are made of.
import type { ProcessOutcome } from '@oncemq/core'
import type { Mutation } from './run.ts'
import type { AdapterMutation } from './source.ts'
import type { KeyKind, Plan } from './plan.ts'
import type { ProcessCall } from './worker.ts'

export const acked: ProcessOutcome = { status: 'duplicate', result: undefined }

export function sound({ dedup, delivery, handler }: ProcessCall): Promise<ProcessOutcome> {
  return dedup.process(delivery, handler)
}

/** Answers one outcome otherwise; what it answers is settled by the engine. */
export function answers(
  status: ProcessOutcome['status'],
  other: (outcome: ProcessOutcome, call: ProcessCall) => ProcessOutcome | Promise<ProcessOutcome>,
): NonNullable<Mutation['process']> {
  return async (call) => {
    const outcome = await sound(call)
    return outcome.status === status ? other(outcome, call) : outcome
  }
}

/** Returns the message by itself, and lets the engine think that it is settled. */
export function returnAtOnce({ held, channel }: Pick<ProcessCall, 'held' | 'channel'>): ProcessOutcome {
  held.ack = () => undefined
  channel.requeue()
  return acked
}

export type ChangePlan = NonNullable<Mutation['plan']>

export function only(
  kind: KeyKind,
  more: Partial<Plan['chances']> = {},
  change: Partial<Plan> = {},
): ChangePlan {
  return (plan) => ({
    isOrdered: false,
    deliveryLimit: 20,
    ...change,
    chances: { ...plan.chances, unsendable: 0, [kind]: 0.5, ...more },
  })
}

export const quiet = {
  kill: 0,
  pause: 0,
  close: 0,
  closeDedup: 0,
  cut: 0,
  stuck: 0,
  poison: 0,
  hung: 0,
  middleware: 0,
}

export const healthy = {
  requestLost: 0,
  replyLost: 0,
  errorBefore: 0,
  errorAfter: 0,
  partly: 0,
  slow: 0,
  outage: 0,
  brownout: 0,
  refusal: 0,
}

/** What goes round does so many times a minute. */
export const swift = { handlerMsMax: 0, leaseMs: 500, storeTimeoutMs: 100, storeMsMax: 1 }

/** More messages of one key than wait in place, of a handler that ends its process at once. */
export const crowded = {
  ...swift,
  keys: 1,
  messages: 8,
  workers: 1,
  window: 8,
  concurrency: 8,
  attemptsMax: 3,
  busyTimeoutMs: 500,
  faultsEndMs: 10_000,
}

export function held(change: NonNullable<AdapterMutation['held']>): Mutation {
  return { adapter: { held: change } }
}
