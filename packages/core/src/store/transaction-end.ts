import type { AdvanceUpdate, CompleteUpdate, TransactionEnd } from './contract.ts'

/** What a transaction ends with, by its parts. */
export interface EndParts {
  readonly completion: CompleteUpdate | undefined
  readonly advance: AdvanceUpdate | undefined
}

/** Takes apart what a transaction ends with; both parts are `undefined` where that is nothing. */
export function partsOf(end: TransactionEnd | undefined): EndParts {
  if (end?.op === 'complete') return { completion: end, advance: end.advance }
  return { completion: undefined, advance: end }
}

/** How an offset is stored where a log has none: before all offsets. */
const NO_OFFSET = -1n

/** The number that stands for an offset in a store; for none it is -1. See {@link offsetOf}. */
export function storedOffset(offset: bigint | undefined): bigint {
  return offset ?? NO_OFFSET
}

/** `text` is the stored number: a driver may read it with a loss. */
export function offsetOf(text: string): bigint | undefined {
  const offset = BigInt(text)
  return offset === NO_OFFSET ? undefined : offset
}
