// The door for authors of stores: the contract, and the kit with what every store needs. The guide is
// docs/write-a-store.md.
export type { ErrorCode } from '../errors.ts'
export { isOncemqError, received, StoreError } from '../errors.ts'
export { recordId } from '../delivery/identity.ts'
export { isFreshLease } from '../claims/lease-keeper.ts'
export type { Backoff } from '../time/backoff.ts'
export { backoffMs, jittered } from '../time/backoff.ts'
export type { Clock, Timer } from '../time/clock.ts'
export { systemClock } from '../time/clock.ts'
export type { Random } from '../time/random.ts'
export { systemRandom } from '../time/random.ts'
export { givenOptions, requireInteger, requireOneOf } from '../validate.ts'
export type * from './contract.ts'
