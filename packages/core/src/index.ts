export type { Backoff } from './backoff.ts'
export { backoffMs, jittered } from './backoff.ts'
export type { Claim, Completion, ReleaseReason } from './claim.ts'
export type { Clock, Timer } from './clock.ts'
export { systemClock } from './clock.ts'
export { createDeduplicator, Deduplicator } from './deduplicator.ts'
export type { ErrorCode } from './errors.ts'
export {
  errorTable,
  isOncemqError,
  OncemqError,
  OptionError,
  PermanentError,
  received,
  StoreError,
} from './errors.ts'
export type { EventName, Events } from './events.ts'
export { Gate } from './gate.ts'
export type { HandlerContext } from './context.ts'
export { contextOf } from './context.ts'
export type { Handler } from './handling.ts'
export { recordId } from './identity.ts'
export { isFreshLease } from './lease-keeper.ts'
export type { Linked } from './linked-list.ts'
export { LinkedList } from './linked-list.ts'
export type { MemoryStoreOptions } from './memory-store.ts'
export { MemoryStore } from './memory-store.ts'
export type { Middleware } from './middleware.ts'
export { compose } from './middleware.ts'
export type { DeduplicatorOptions, Settings, Strategy } from './options.ts'
export { deduplicatorDefaults } from './options.ts'
export type {
  ClaimOutcome,
  DeadLetterReason,
  Delivery,
  NotGranted,
  ProcessOutcome,
  RetryReason,
  Settlement,
} from './outcome.ts'
export type { Random } from './random.ts'
export { systemRandom } from './random.ts'
export type { RejectReason, UnprotectedReason } from './reasons.ts'
export type { ResultCodec, RunOptions, RunOutcome, Work } from './run.ts'
export { jsonResult } from './run.ts'
export type { SettlementPolicy } from './settlement.ts'
export { retryDefaults, settlementOf } from './settlement.ts'
export type * from './store.ts'
export { givenOptions, requireInteger, requireOneOf } from './validate.ts'
export { VirtualClock } from './virtual-clock.ts'
