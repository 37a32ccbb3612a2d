import type { ErrorCode } from '../errors.ts'
import { StoreError } from '../errors.ts'

/** What an error of a driver means: our code, what was found, and the remedy. */
export type Explanation = readonly [code: ErrorCode, found: string, remedy: string]

/** What a store's error says beside its {@link Explanation}. */
export interface StoreErrorParts {
  /** The store's class. */
  readonly store: string
  /** What should have been, such as `to use the table oncemq`. */
  readonly expected: string
  /** The driver's own name or number of the failure. Never its message where that may quote values. */
  readonly detail?: string | undefined
  /** The driver's own error. */
  readonly cause?: unknown
}

/**
 * Builds a store's error: what was expected, what was found, and the remedy.
 * @example
 * const full: Explanation = ['ONCEMQ_STORE_FULL', 'it is full', 'make room']
 * throw storeError({ store: 'MapStore', expected: 'to use the map', cause }, full)
 */
export function storeError(
  { store, expected, detail, cause }: StoreErrorParts,
  [code, found, remedy]: Explanation,
): StoreError {
  const shown = detail === undefined || detail === '' ? '' : ` (${printable(detail)})`
  const message = `${store}: expected ${expected}, but ${found}${shown}; ${remedy}`
  return new StoreError(code, message, cause === undefined ? {} : { cause })
}

/**
 * A text that was made by others, for a message or a log: control characters, and those that turn the
 * direction of a line, are written as escapes, so that nobody can forge a line or drive a terminal.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0
    return `\\u{${code.toString(16)}}`
  })
}
