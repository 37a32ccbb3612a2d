import { OptionError, received } from '../../errors.ts'
import { pageAt } from '../../pages.ts'

/** Checks that an ORM's object has the methods. @throws OptionError if it lacks one. */
export function requireOrm(name: string, expected: string, given: unknown, methods: readonly string[]): void {
  const has = (given ?? {}) as Readonly<Record<string, unknown>>
  const missing = methods.find((method) => typeof has[method] !== 'function')
  if (missing === undefined) return
  throw new OptionError(
    `${name}: expected ${expected}, received ${received(given)} without ${missing}; ` +
      `what fits, and how to write the transactions of another one: ${pageAt('orms')}`,
  )
}
