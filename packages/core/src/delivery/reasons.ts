/** The handler shall run without protection, and why. */
export type UnprotectedReason = 'missing-key' | 'conflict' | 'store-down'

/** The handler shall not run for this delivery, and why. */
export type RejectReason = 'missing-key' | 'invalid-key' | 'conflict' | 'attempts'
