import type { KeyKind } from './plan.ts'

/** So many returns are near the broker's limit: what cannot be copied then is put aside. */
export const RETURNS_MANY = 15

/** A message as its user sees it. */
export interface SimMessage {
  /** Distinct for each that is published, and the same in each copy of it. */
  readonly number: number
  readonly key: string | undefined
  readonly order: string | undefined
  readonly kind: KeyKind
  /** Whether no copy of it can be sent to wait: its headers are too large. */
  readonly isUnsendable: boolean
  /** Whether a middleware throws for it, each time. */
  readonly isRefused: boolean
}

/** A message as it stands at the broker. */
export interface Envelope {
  readonly message: SimMessage
  /** Its place among the others. */
  readonly sequence: number
  /** How often it was returned, as the broker counts. */
  returns: number
  /** How many starts its copies tell of, and how many of them were returns. */
  readonly starts: number
  readonly returnsTold: number
  readonly firstAtMs: number
  /** Whether it has been in a wait queue, which stands in its headers. */
  hasDeath: boolean
}

/** What a copy takes along. */
export interface Copy {
  readonly starts: number
  readonly returnsTold: number
  readonly firstAtMs: number
  readonly hasDeath: boolean
  readonly delayMs: number
}
