import type { Finding } from './contract.ts'
import { printable } from './store-error.ts'

/** What a unique key leaves unguarded, as far as a store can tell. */
export interface KeyGaps {
  /** Rows whose columns of the key are NULL (or lack them) never violate it. */
  readonly isNullable: boolean
  /** Rows outside of the index's condition never violate it. */
  readonly isPartial: boolean
}

/** The warnings about a unique key that does not guard all rows. */
export function gapFindings(name: string, { isNullable, isPartial }: KeyGaps): readonly Finding[] {
  const which = [
    ...(isNullable ? ['in which a column of it is NULL'] : []),
    ...(isPartial ? ['outside of its condition'] : []),
  ]
  return which.map((rows) => ({
    severity: 'warning',
    code: 'unique-key-gaps',
    found: `The unique key ${printable(name)} does not guard rows ${rows}: each delivery inserts one more.`,
    remedy: isNullable ? 'Declare the columns NOT NULL.' : 'Let each event insert a row that it guards.',
  }))
}
