import { OptionError, received } from './errors.ts'

/**
 * The options that were really given: those that are not `undefined`.
 * @throws OptionError when `options` is no object, or has an option that does not exist: a misspelt one must
 *   not be ignored in silence.
 */
export function givenOptions<Options extends object>(
  name: string,
  options: Options,
  known: ReadonlySet<string>,
): Partial<Options> {
  if (typeof options !== 'object' || options === null) {
    throw new OptionError(`${name}: expected an options object, received ${received(options)}; pass { ... }`)
  }
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  const unknown = given.find(([option]) => !known.has(option))
  if (unknown !== undefined) {
    throw new OptionError(
      `${name}: expected only the options ${[...known].join(', ')}, received '${unknown[0].slice(0, 40)}'; ` +
        `correct the name or leave it out`,
    )
  }
  return Object.fromEntries(given) as Partial<Options>
}

/**
 * @throws OptionError unless `value` is an integer from `min` to `max`. A name that ends in `Ms` is
 * milliseconds.
 */
export function requireInteger(name: string, value: unknown, min: number, max: number): void {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return
  const unit = name.endsWith('Ms') ? 'milliseconds, ' : ''
  throw new OptionError(
    `${name}: expected an integer (${unit}${min} to ${max}), received ${received(value)}; ` +
      `leave it out for the default`,
  )
}

/** @throws OptionError unless `value` is one of `allowed`. */
export function requireOneOf(name: string, value: unknown, allowed: readonly (string | boolean)[]): void {
  if (allowed.includes(value as string)) return
  const list = allowed.map((each) => (typeof each === 'string' ? `'${each}'` : String(each))).join(', ')
  throw new OptionError(
    `${name}: expected one of ${list}, received ${received(value)}; leave it out for the default`,
  )
}

/** What a value is said to be when it has not all the methods; `undefined` when it has. */
export function missingMethod(value: unknown, methods: readonly string[]): string | undefined {
  if (typeof value !== 'object' || value === null) return received(value)
  const missing = methods.find((method) => typeof (value as Record<string, unknown>)[method] !== 'function')
  return missing === undefined ? undefined : `${received(value)} without ${missing}()`
}

/** @throws OptionError unless `value` is an object with these methods. */
export function requireMethods(
  name: string,
  value: unknown,
  methods: readonly string[],
  remedy = 'leave it out for the default',
): void {
  const without = missingMethod(value, methods)
  if (without === undefined) return
  throw new OptionError(
    `${name}: expected an object with ${methods.map((method) => `${method}()`).join(', ')}, ` +
      `received ${without}; ${remedy}`,
  )
}

/** @throws OptionError unless `value` is a function. */
export function requireFunction(name: string, value: unknown, remedy: string): void {
  if (typeof value === 'function') return
  throw new OptionError(`${name}: expected a function, received ${received(value)}; pass ${remedy}`)
}
