// The door for authors of broker adapters: the engine, and the kit with what every adapter needs. The guide
// is docs/write-a-broker-adapter.md.
export type { Claim } from '../claims/claim.ts'
export type { Linked } from '../claims/linked-list.ts'
export { LinkedList } from '../claims/linked-list.ts'
export type { Completion, ReleaseReason, Start } from '../claims/start.ts'
export { contextOf } from '../delivery/context.ts'
export { keyText } from '../delivery/identity.ts'
export { compose } from '../delivery/middleware.ts'
export type {
  ClaimOutcome,
  DeadLetterReason,
  HoldReason,
  NotGranted,
  RetryReason,
  Settlement,
  Unprotected,
} from '../delivery/outcome.ts'
export type { LogRequest, Position, TakenLog } from '../delivery/position.ts'
export { rejectedForAttempts } from '../delivery/refusals.ts'
export type { RejectReason, UnprotectedReason } from '../delivery/reasons.ts'
export type { SettlementPolicy } from '../delivery/settlement.ts'
export { retryDefaults, settlementOf } from '../delivery/settlement.ts'
export { errorNameOf, isError, received } from '../errors.ts'
export { pageAt } from '../pages.ts'
export type { Settings } from '../options.ts'
export { backoffMs, jittered } from '../time/backoff.ts'
export { bounded } from '../strategies/bounded.ts'
export { failed } from '../strategies/failure.ts'
export type { StrategyServices } from '../strategies/strategy.ts'
export type { Clock, Timer } from '../time/clock.ts'
export { systemClock } from '../time/clock.ts'
export { Condition, pause } from '../time/condition.ts'
export { Semaphore } from '../time/semaphore.ts'
export type { Bound } from '../time/within.ts'
export { within } from '../time/within.ts'
export {
  givenOptions,
  requireFunction,
  requireInteger,
  requireMethods,
  requireOneOf,
  requireSignal,
  requireText,
} from '../validate.ts'
export type { Attempt, DeliveryLoopOptions } from './loop-options.ts'
export { copySecret } from './copy-secret.ts'
export { letterTexts } from './dead-letter.ts'
export { DeliveryLoop } from './delivery-loop.ts'
export type { DeadLetter, HeldMessage, MessageSource, Receiver, Retry, Session } from './held-message.ts'
export type { JsonFieldOptions, KeyOf } from './key.ts'
export { jsonFieldOf, keyValue, readKey } from './key.ts'
export type { Consumer, ManagedConsumerOptions } from './managed-consumer.ts'
export { ManagedConsumer } from './managed-consumer.ts'
export type { ConsumerHealth } from './reception.ts'
export { MessageOrder } from './message-order.ts'
export type { ProcessingOptions } from './processing.ts'
export { processing } from './processing.ts'
export {
  refuseTransactional,
  requireDeduplicator,
  requireMiddlewares,
  requireRetry,
  retryOf,
} from './option-checks.ts'
export type { Provenance, Seal, Sealed } from './provenance.ts'
export { seal, unseal } from './provenance.ts'
export { stampedId, unfitId } from './stamped-id.ts'
export { untilLost } from './until-lost.ts'
