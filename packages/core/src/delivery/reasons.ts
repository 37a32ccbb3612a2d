/** The handler shall run without protection, and why. */
export type UnprotectedReason = 'missing-key' | 'conflict' | 'store-down'

/** The handler shall not run for this delivery, and why. */
export type RejectReason = 'missing-key' | 'invalid-key' | 'conflict' | 'attempts' | StateReason

/**
 * A state machine has no place for the message: it cannot be read, came too early for too long, its
 * transition does not lead from the row's state, or there is no row.
 */
export type StateReason = 'unreadable' | 'too-early' | 'impossible' | 'missing-row'
