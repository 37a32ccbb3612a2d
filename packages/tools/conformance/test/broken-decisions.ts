import type { HandlerContext, ProcessOutcome } from '@oncemq/core'
import type { HeldMessage } from '@oncemq/core/broker'
import { acking, handling, processing, unprotected } from './broken-adapter.ts'
import type { BrokenAdapter, Options } from './broken-adapter.ts'
import { ToyAdapter } from './toy-broker.ts'
import type { ToyMessage } from './toy-broker.ts'

/** Those that decide otherwise than the core. */
export const brokenDecisions: readonly BrokenAdapter[] = [
  { fault: 'passes duplicates on', caughtBy: ['once', 'redelivery'], Adapter: handling('duplicate') },
  {
    fault: 'handles what is busy',
    caughtBy: ['busy', 'redelivery'],
    Adapter: handling('busy', { signal: AbortSignal.abort() }),
  },
  { fault: 'handles without a store', caughtBy: ['outage'], Adapter: handling('store-down', { holdMs: 0 }) },
  { fault: 'handles what the store refuses', caughtBy: ['outage'], Adapter: handling('store-refused') },
  { fault: 'handles what is rejected', caughtBy: ['keys', 'dead letters'], Adapter: handling('rejected') },
  {
    fault: 'acks what is busy',
    caughtBy: ['busy'],
    Adapter: acking('busy', { signal: AbortSignal.abort() }),
  },
  {
    fault: 'acks while the store is down',
    caughtBy: ['outage'],
    Adapter: acking('store-down', { holdMs: 0 }),
  },
  { fault: 'acks what the store refuses', caughtBy: ['outage'], Adapter: acking('store-refused') },
  { fault: 'acks what failed', caughtBy: ['failure', 'starts'], Adapter: acking('failed') },
  { fault: 'drops what is rejected', caughtBy: ['keys'], Adapter: acking('rejected') },
  {
    fault: 'acks what a closed deduplicator did not handle',
    caughtBy: ['closing'],
    Adapter: acking('closed'),
  },
  {
    fault: 'never gives a message up',
    caughtBy: ['starts'],
    Adapter: processing((sound) => async (delivery, handler) => {
      const outcome = await sound(delivery, handler)
      if (outcome.status !== 'failed') return outcome
      return { status: 'failed', final: false, error: outcome.error, attempt: 1 }
    }),
  },
  {
    fault: 'never forgives a key',
    caughtBy: ['failure', 'dead letters'],
    Adapter: processing((sound) => async (delivery, handler) => {
      const outcome = await sound(delivery, handler)
      return 'forgive' in outcome ? ({ ...outcome, forgive: undefined } as ProcessOutcome) : outcome
    }),
  },
  {
    fault: 'forgets since when it has held a message',
    caughtBy: ['starts'],
    Adapter: processing(
      (sound) => (delivery, handler) => sound({ ...delivery, heldSinceMs: undefined }, handler),
    ),
  },
  {
    fault: 'does not count starts without a key',
    caughtBy: ['starts'],
    Adapter: processing((sound) => (delivery, handler) => sound({ ...delivery, startsBefore: 0 }, handler)),
  },
  {
    fault: 'asks a store that refuses again and again',
    caughtBy: ['outage'],
    Adapter: processing((sound) => async (delivery, handler) => {
      for (;;) {
        const outcome = await sound(delivery, handler)
        if (outcome.status !== 'store-refused') return outcome
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
    }),
  },
  {
    fault: 'tells neither epoch nor attempt',
    caughtBy: ['once', 'failure', 'busy'],
    Adapter: class extends ToyAdapter {
      override handle(held: HeldMessage<ToyMessage>, context: HandlerContext): Promise<undefined> {
        return super.handle(held, { ...unprotected, key: context.key })
      }
    },
  },
  {
    fault: 'takes a success whose answer it cannot write for a failure',
    caughtBy: ['starts'],
    Adapter: class extends ToyAdapter {
      override async handle(held: HeldMessage<ToyMessage>, context: HandlerContext): Promise<undefined> {
        await super.handle(held, context)
        JSON.stringify(this.answer)
        return undefined
      }
    },
  },
  {
    fault: 'does not count what middlewares throw',
    caughtBy: ['starts'],
    Adapter: class extends ToyAdapter {
      override options(): Options {
        const options = super.options()
        const [middleware] = options.middlewares
        if (middleware === undefined) return options
        const uncounted: typeof middleware = (message, next) =>
          Promise.resolve(middleware(message, next)).catch((error: unknown) => ({
            status: 'failed',
            final: false,
            error,
            attempt: 1,
          }))
        return { ...options, middlewares: [uncounted] }
      }
    },
  },
]
