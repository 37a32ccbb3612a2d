// The door for tests: virtual time.
export { VirtualClock } from '../time/virtual-clock.ts'
