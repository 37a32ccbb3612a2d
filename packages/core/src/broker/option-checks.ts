import type { Deduplicator } from '../deduplicator.ts'
import { OncemqError, OptionError, received } from '../errors.ts'
import type { Backoff } from '../time/backoff.ts'
import { givenOptions, requireFunction, requireInteger } from '../validate.ts'
import { retryDefaults } from '../delivery/settlement.ts'

const WAIT_MAX_MS = 86_400_000
const FACTOR_MAX = 100

/** Checks that `form` was given a deduplicator. @throws OptionError unless it was. */
export function requireDeduplicator(form: string, dedup: unknown): asserts dedup is Deduplicator {
  const given = dedup as Partial<Deduplicator> | null | undefined
  // A store has `claim`, too.
  if (typeof given?.claim === 'function' && typeof given.process === 'function') return
  throw new OptionError(
    `${form}: expected a deduplicator, received ${received(dedup)}; ` +
      `make one with createDeduplicator({ store, consumerGroup })`,
  )
}

/** Checks an option `middlewares`. @throws OptionError unless it is an array of functions. */
export function requireMiddlewares(middlewares: unknown): void {
  if (!Array.isArray(middlewares)) {
    throw new OptionError(
      `middlewares: expected an array, received ${received(middlewares)}; give [] for none`,
    )
  }
  middlewares.forEach((each, position) => requireFunction(`middlewares[${position}]`, each, 'a middleware'))
}

const retryNames = new Set(Object.keys(retryDefaults))

/** The waits between attempts, complete. @throws OptionError for some that are not possible. */
export function retryOf(given: unknown): Backoff {
  if (given === undefined) return retryDefaults
  const retry = { ...retryDefaults, ...givenOptions('retry', given as Partial<Backoff>, retryNames) }
  requireRetry(retry)
  return retry
}

/** Checks the waits between attempts. @throws OptionError unless they are possible. */
export function requireRetry({ firstMs, maxMs, factor }: Backoff): void {
  requireInteger('retry.firstMs', firstMs, 1, WAIT_MAX_MS)
  requireInteger('retry.maxMs', maxMs, 1, WAIT_MAX_MS)
  if (typeof factor === 'number' && factor >= 1 && factor <= FACTOR_MAX) return
  throw new OptionError(
    `retry.factor: expected a number (1 to ${FACTOR_MAX}), received ${received(factor)}; give 2`,
  )
}

/**
 * Refuses strategies other than `lease`: a caller that settles by itself cannot commit together with the
 * record.
 * @throws OncemqError `ONCEMQ_CONSUMER_UNSAFE` for another one.
 */
export function refuseTransactional(form: string, dedup: Deduplicator, remedy: string): void {
  const { allowsDropIn, name } = dedup.settings.strategy
  if (allowsDropIn) return
  throw new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `${form}: expected strategy 'lease', received '${name}'; ${remedy}`,
  )
}
