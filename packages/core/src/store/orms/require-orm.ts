import { OptionError, received } from '../../errors.ts'

/** @throws OptionError if what is given lacks one of the methods. */
export function requireOrm(name: string, expected: string, given: unknown, methods: readonly string[]): void {
  const has = (given ?? {}) as Readonly<Record<string, unknown>>
  const missing = methods.find((method) => typeof has[method] !== 'function')
  if (missing === undefined) return
  throw new OptionError(
    `${name}: expected ${expected}, received ${received(given)} without ${missing}; ` +
      'see docs/orms.md for what fits, and for how to write the transactions of another one',
  )
}
