// The door for tests: virtual time, and rehearsals of users' own handlers.
export { VirtualClock } from '../time/virtual-clock.ts'
export type { Effects } from './rehearsal-worker.ts'
export type { Rehearsal, RehearsalOptions, RehearsalScene, RepeatedEffect } from './rehearse.ts'
export { rehearse } from './rehearse.ts'
