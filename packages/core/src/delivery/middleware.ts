import { OncemqError } from '../errors.ts'

/**
 * Stands around what comes after it. The first registered is outermost; what it answers is the outcome;
 * without calling `next` nothing after it runs.
 */
export type Middleware<Message, Outcome> = (
  message: Message,
  next: () => Promise<Outcome>,
) => Promise<Outcome>

/**
 * Makes one function of the middlewares and what stands innermost.
 * @throws OncemqError `ONCEMQ_NEXT_TWICE` from a second `next()`: it would process the message again.
 */
export function compose<Message, Outcome>(
  middlewares: readonly Middleware<Message, Outcome>[],
  innermost: (message: Message) => Promise<Outcome>,
): (message: Message) => Promise<Outcome> {
  return function dispatch(message) {
    const enter = async (position: number): Promise<Outcome> => {
      const middleware = middlewares[position]
      if (middleware === undefined) return innermost(message)
      let called = false
      return middleware(message, async function next() {
        if (called) {
          throw new OncemqError(
            'ONCEMQ_NEXT_TWICE',
            `next(): expected one call in middleware '${middleware.name || position}', received a second; ` +
              `await the first one's outcome instead`,
          )
        }
        called = true
        return enter(position + 1)
      })
    }
    return enter(0)
  }
}
