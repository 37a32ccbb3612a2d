import type { Delivery } from '../delivery/outcome.ts'
import type { Clock } from '../time/clock.ts'
import type { HeldMessage, Retry } from './held-message.ts'

/** A message on its way through the delivery loop. */
export interface Passage<Message = unknown> {
  readonly held: HeldMessage<Message>
  readonly key: Delivery['key']
  readonly sinceMs: number
  starts: number
  /** How many of the starts are returns of the broker's, where that is known. */
  returns: number | undefined
  /** Holds in a row, which wait ever longer. */
  holds: number
  /** Lets the next one of its order go on. */
  passOn: (() => void) | undefined
}

export function passageOf<Message>(
  held: HeldMessage<Message>,
  key: Delivery['key'],
  clock: Clock,
): Passage<Message> {
  const { startsBefore: starts, returnsBefore: returns } = held
  return { held, key, sinceMs: clock.monotonicMs(), starts, returns, holds: 0, passOn: undefined }
}

/** The handler was started, and this was its start of that number. */
export function countStart(passage: Passage, attempt: number): void {
  passage.starts = attempt
  if (passage.returns !== undefined) passage.returns = 0
}

/** What a copy of its message is to tell. */
export function toldOf({ starts, returns = 0 }: Passage): Pick<Retry, 'starts' | 'returns'> {
  return { starts, returns }
}

/** Whether its message is to be replaced by a copy: see the held message. */
export function isWornOut({ held, key }: Passage<unknown>, usesRecords: boolean): boolean {
  return held.isWornOut?.(usesRecords && key !== undefined) === true
}

/** Its message as the core sees it; `way` is how it may wait. */
export function deliveryOf(passage: Passage<unknown>, way: Partial<Delivery>): Delivery {
  const { held, key, passOn, starts: startsBefore, returns: returnsBefore, sinceMs: heldSinceMs } = passage
  const { source, body, hops, message, firstAtMs, isUncounted, position } = held
  const whole = held.whole && (() => held.whole?.() ?? body)
  const told = { source, hops, body, whole, message, firstAtMs, isUncounted, position, passOn }
  return { key, ...told, startsBefore, returnsBefore, heldSinceMs, ...way }
}

/** For how much longer it may be held. */
export function leftMs({ held, sinceMs }: Passage<unknown>, holdMs: number, clock: Clock): number {
  // What has an order holds up its successors anyway, and must not be overtaken by them.
  return held.order === undefined ? sinceMs + holdMs - clock.monotonicMs() : Number.POSITIVE_INFINITY
}
