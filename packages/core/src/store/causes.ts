import { types } from 'node:util'

const CAUSES_MAX = 8

/** By these names libraries keep the error behind their own: JavaScript, Sequelize, TypeORM, MikroORM. */
const LINKS = ['cause', 'original', 'parent', 'driverError', 'previous'] as const

/**
 * An error and what stands behind it, nearest first, each once and eight at most. Looks behind errors alone:
 * an object of another kind may come from a payload, and its properties mean nothing.
 * @example for (const error of causes(thrown)) if (codeOf(error) === DEADLOCK) return true
 */
export function* causes(thrown: unknown): Generator<unknown, void> {
  const found = new Set([thrown])
  for (const error of found) {
    yield error
    // Not `instanceof`, which fails for errors of another realm, such as those that jest makes.
    if (!types.isNativeError(error)) continue
    for (const link of LINKS) {
      const behind = read(error, link)
      if (behind !== undefined && behind !== null && found.size < CAUSES_MAX) found.add(behind)
    }
  }
}

/** A getter that throws must not take the place of the error that it is read from. */
function read(error: Error, link: (typeof LINKS)[number]): unknown {
  try {
    return (error as { readonly [Link in (typeof LINKS)[number]]?: unknown })[link]
  } catch {
    return undefined
  }
}
