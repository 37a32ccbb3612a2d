import type { Delivery } from '../delivery/outcome.ts'
import type { Clock } from '../time/clock.ts'
import type { HeldMessage } from './held-message.ts'

/** A message on its way through the loop. */
export interface Passage<Message> {
  readonly held: HeldMessage<Message>
  readonly key: Delivery['key']
  readonly sinceMs: number
  starts: number
  /** How many of the starts are returns of the broker's. */
  returns: number
  /** Holds in a row, which wait ever longer. */
  holds: number
}

export function passageOf<Message>(
  held: HeldMessage<Message>,
  key: Delivery['key'],
  clock: Clock,
): Passage<Message> {
  const { startsBefore: starts, returnsBefore: returns = 0 } = held
  return { held, key, sinceMs: clock.monotonicMs(), starts, returns, holds: 0 }
}

/** Whether its message is to be replaced by a copy: see the held message. */
export function isWornOut({ held, key }: Passage<unknown>, usesRecords: boolean): boolean {
  return held.isWornOut?.(usesRecords && key !== undefined) === true
}
