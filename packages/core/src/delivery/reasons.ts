/** The handler shall run without protection, and why. */
export type UnprotectedReason = 'missing-key' | 'conflict' | 'store-unavailable'

/** The handler shall never run for this delivery, and why. */
export type RejectReason = 'missing-key' | 'invalid-key' | 'conflict' | 'attempts'
