import { OptionError, received } from '../../errors.ts'

/** @throws OptionError if one of the methods that are needed is none. */
export function requireOrm(
  name: string,
  expected: string,
  given: unknown,
  methods: Readonly<Record<string, unknown>>,
): void {
  const missing = Object.entries(methods).find(([, method]) => typeof method !== 'function')
  if (missing === undefined) return
  throw new OptionError(
    `${name}: expected ${expected}, received ${received(given)} without ${missing[0]}; ` +
      'see docs/orms.md for what fits, and for how to write the transactions of another one',
  )
}
