import { OptionError, received, receivedPlain } from './errors.ts'

/** What helps against most wrong options. */
const DEFAULT = 'leave it out for the default'

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
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
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
 * Checks an option that is an integer from `min` to `max`. A name that ends in `Ms` is milliseconds.
 * @throws OptionError unless it is one.
 */
export function requireInteger(name: string, value: unknown, min: number, max: number): void {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return
  const unit = name.endsWith('Ms') ? 'milliseconds, ' : ''
  const meant = millisecondsIn(value)
  const isMeant = name.endsWith('Ms') && meant !== undefined && meant >= min && meant <= max
  throw new OptionError(
    `${name}: expected an integer (${unit}${min} to ${max}), received ${receivedPlain(value)}; ` +
      `${isMeant ? `give ${meant}, or ` : ''}leave it out for the default`,
  )
}

const CLOSE_TIMEOUT_MS = 30_000
const DAY_MS = 86_400_000

/** The bound that `close` is given. @throws OptionError for one that is none. */
export function closeTimeoutMs(options: { readonly timeoutMs?: number }): number {
  const { timeoutMs = CLOSE_TIMEOUT_MS } = givenOptions('close', options, new Set(['timeoutMs']))
  requireInteger('timeoutMs', timeoutMs, 0, DAY_MS)
  return timeoutMs
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** What a text such as '30s' stands for, to say how it is written here. */
function millisecondsIn(value: unknown): number | undefined {
  const [, digits, unit = 'ms'] = /^(\d{1,9}) ?(ms|s|m|h|d)?$/.exec(String(value)) ?? []
  return typeof value === 'string' && digits !== undefined
    ? Number(digits) * (UNITS_MS[unit] ?? 1)
    : undefined
}

/** Checks an option that is one of `allowed`. @throws OptionError unless it is. */
export function requireOneOf(
  name: string,
  value: unknown,
  allowed: readonly (string | boolean)[],
  remedy = DEFAULT,
): void {
  if (allowed.includes(value as string)) return
  const list = allowed.map((each) => (typeof each === 'string' ? `'${each}'` : String(each))).join(', ')
  throw new OptionError(`${name}: expected one of ${list}, received ${receivedPlain(value)}; ${remedy}`)
}

/** What a value is said to be when it has not all the methods; `undefined` when it has. */
export function missingMethod(value: unknown, methods: readonly string[]): string | undefined {
  const what = received(value)
  if (typeof value !== 'object' || value === null) return what
  const missing = methods.find((method) => typeof (value as Record<string, unknown>)[method] !== 'function')
  if (missing === undefined) return undefined
  return what.startsWith('a promise') ? what : `${what} without ${missing}()`
}

/** Checks an option that is an object with these methods. @throws OptionError unless it is. */
export function requireMethods(
  name: string,
  value: unknown,
  methods: readonly string[],
  remedy = DEFAULT,
): void {
  const without = missingMethod(value, methods)
  if (without === undefined) return
  const having = methods.length === 0 ? '' : ` with ${methods.map((method) => `${method}()`).join(', ')}`
  throw new OptionError(`${name}: expected an object${having}, received ${without}; ${remedy}`)
}

/** Checks an option `signal`, which may be left out. @throws OptionError for one that is none. */
export function requireSignal(signal: unknown): void {
  if (signal === undefined || signal instanceof AbortSignal) return
  throw new OptionError(
    `signal: expected an AbortSignal, received ${received(signal)}; give that of an AbortController`,
  )
}

/** Checks an option `clock`. @throws OptionError unless it is one. */
export function requireClock(clock: unknown): void {
  requireMethods('clock', clock, ['nowMs', 'monotonicMs', 'after'])
}

/** Checks an option `random`. @throws OptionError unless it is one. */
export function requireRandom(random: unknown): void {
  requireMethods('random', random, ['claimId', 'fraction'])
}

/**
 * Checks an option that is a text and not empty. `remedy` shows the call as it is meant.
 * @throws OptionError unless it is.
 */
export function requireText(name: string, value: unknown, remedy: string): void {
  if (typeof value === 'string' && value !== '') return
  const what = value === '' ? 'an empty string' : received(value)
  throw new OptionError(`${name}: expected a non-empty string, received ${what}; ${remedy}`)
}

/** Checks an option that is a function; `remedy` shows one. @throws OptionError unless it is. */
export function requireFunction(name: string, value: unknown, remedy: string): void {
  if (typeof value === 'function') return
  throw new OptionError(`${name}: expected a function, received ${receivedPlain(value)}; pass ${remedy}`)
}
