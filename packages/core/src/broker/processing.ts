import type { Deduplicator } from '../deduplicator.ts'
import type { HandlerContext } from '../delivery/context.ts'
import type { Middleware } from '../delivery/middleware.ts'
import { compose } from '../delivery/middleware.ts'
import type { Delivery, ProcessOutcome } from '../delivery/outcome.ts'
import { errorNameOf } from '../errors.ts'
import type { HeldMessage } from './held-message.ts'
import { notStarted } from './not-started.ts'
import { Warnings } from './warnings.ts'

/** What messages are processed with: see {@link processing}. */
export interface ProcessingOptions<Tx, Message> {
  readonly dedup: Deduplicator<Tx>
  /** Does the work. What it answers is kept with the record. */
  readonly handler: (
    held: HeldMessage<Message>,
    context: HandlerContext<Tx>,
  ) => Promise<Uint8Array | undefined>
  /** Called after a success and before the ack. What it throws is a warning, and changes nothing. */
  readonly onSuccess?: (held: HeldMessage<Message>, outcome: ProcessOutcome) => Promise<void>
  readonly middlewares: readonly Middleware<Message, ProcessOutcome>[]
}

const successes: ReadonlySet<string> = new Set<ProcessOutcome['status']>([
  'completed',
  'duplicate',
  'unconfirmed',
])

/**
 * How messages are processed whose handler returns: by the middlewares around the deduplicator around the
 * handler. Whatever these did to a message, each further attempt begins with the message as it first came.
 */
export function processing<Tx, Message>(
  options: ProcessingOptions<Tx, Message>,
): (held: HeldMessage<Message>, delivery: Delivery) => Promise<ProcessOutcome> {
  const { dedup, handler, middlewares } = options
  const hasMiddlewares = middlewares.length > 0
  const warnings = new Warnings(dedup)
  return async function process(held, delivery) {
    let starts = 0
    const innermost = async (): Promise<ProcessOutcome> => {
      const outcome = await dedup.process(delivery, (context) => {
        // A transaction that runs again; what middlewares have made of the message stays.
        if (starts > 0 && !hasMiddlewares) held.renew?.()
        starts += 1
        return handler(held, context)
      })
      await succeeded(held, outcome, options)
      return outcome
    }
    const outcome = hasMiddlewares ? await around(held, delivery, innermost, options) : await innermost()
    if (outcome.status === 'failed' && !outcome.final) warnings.handlerFailed(outcome.error, outcome.attempt)
    if ((starts > 0 || hasMiddlewares) && !successes.has(outcome.status)) held.renew?.()
    return outcome
  }
}

async function around<Tx, Message>(
  held: HeldMessage<Message>,
  delivery: Delivery,
  innermost: () => Promise<ProcessOutcome>,
  { dedup, middlewares }: ProcessingOptions<Tx, Message>,
): Promise<ProcessOutcome> {
  let inner: ProcessOutcome | undefined
  const composed = compose(middlewares, async () => (inner = await innermost()))
  try {
    const outcome = (await composed(held.message)) as ProcessOutcome | undefined
    if (typeof outcome?.status === 'string') return outcome
    throw new TypeError('a middleware answered no outcome; return what next() answered')
  } catch (error) {
    // What `next()` answered stands.
    return inner ?? notStarted('a middleware', error, delivery, dedup as unknown as Deduplicator<never>)
  }
}

async function succeeded<Tx, Message>(
  held: HeldMessage<Message>,
  outcome: ProcessOutcome,
  { dedup, onSuccess }: ProcessingOptions<Tx, Message>,
): Promise<void> {
  if (onSuccess === undefined || !successes.has(outcome.status)) return
  try {
    await onSuccess(held, outcome)
  } catch (error) {
    dedup.warn(`a reply was not sent (${errorNameOf(error)})`)
  }
}
