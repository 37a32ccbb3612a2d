import type { Delivery, Handler, HandlerContext, ProcessOutcome } from '@oncemq/core'
import type { HeldMessage, ManagedConsumerOptions, Retry, Session } from '@oncemq/core/broker'
import type { ConsumeRequest } from '../src/index.ts'
import { ToyAdapter } from './toy-broker.ts'
import type { Stored, ToyLetter, ToyLink, ToyMessage } from './toy-broker.ts'

/** An adapter that is wrong in one way, and the properties whose cases must notice it. */
export interface BrokenAdapter {
  readonly fault: string
  readonly caughtBy: readonly string[]
  readonly Adapter: typeof ToyAdapter
}

type Options = ManagedConsumerOptions<undefined, ToyMessage>
type Process = (delivery: Delivery, handler: Handler) => Promise<ProcessOutcome>

const unprotected: HandlerContext = {
  key: undefined,
  epoch: 0,
  attempt: 1,
  signal: new AbortController().signal,
  childId: (name) => name,
  tx: undefined,
}
const acked: ProcessOutcome = { status: 'duplicate', result: undefined }

/** Asks the deduplicator otherwise. */
function processing(change: (sound: Process) => Process): typeof ToyAdapter {
  return class extends ToyAdapter {
    override options(): Options {
      const options = super.options()
      const { dedup } = options
      const process = change((delivery, handler) => dedup.process(delivery, handler))
      const broken = new Proxy(dedup, {
        get(target, name) {
          if (name === 'process') return process
          const value: unknown = Reflect.get(target, name, target)
          return typeof value === 'function' ? (value.bind(target) as unknown) : value
        },
      })
      return { ...options, dedup: broken }
    }
  }
}

/** Runs the handler where an outcome says not to. */
function handling(status: ProcessOutcome['status'], given: Partial<Delivery> = {}): typeof ToyAdapter {
  return processing((sound) => async (delivery, handler) => {
    const outcome = await sound({ ...delivery, ...given }, handler)
    if (outcome.status !== status) return outcome
    try {
      await handler({ ...unprotected })
    } catch {
      // As if it had succeeded.
    }
    return acked
  })
}

/** Acks an outcome that is no end. */
function acking(status: ProcessOutcome['status'], given: Partial<Delivery> = {}): typeof ToyAdapter {
  return processing((sound) => async (delivery, handler) => {
    const outcome = await sound({ ...delivery, ...given }, handler)
    return outcome.status === status ? acked : outcome
  })
}

/** Holds a message otherwise. */
function holding(
  change: (sound: HeldMessage<ToyMessage>, stored: Stored, link: ToyLink) => Partial<HeldMessage<ToyMessage>>,
): typeof ToyAdapter {
  return class extends ToyAdapter {
    override held(stored: Stored, link: ToyLink): HeldMessage<ToyMessage> {
      const sound = super.held(stored, link)
      return { ...sound, ...change(sound, stored, link) }
    }
  }
}

const never = (): Promise<never> => new Promise(() => undefined)

const deciding: readonly BrokenAdapter[] = [
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

const reading: readonly BrokenAdapter[] = [
  {
    fault: 'reads no key',
    caughtBy: ['once'],
    Adapter: class extends ToyAdapter {
      override keyOf(): undefined {
        return undefined
      }
    },
  },
  {
    fault: 'makes up a key where there is none',
    caughtBy: ['keys'],
    Adapter: class extends ToyAdapter {
      override keyOf({ key }: ToyMessage): string {
        return key ?? 'none'
      }
    },
  },
  {
    fault: 'takes placeholders for ids',
    caughtBy: ['dead letters'],
    Adapter: class extends ToyAdapter {
      override keyOf({ key }: ToyMessage): string | undefined {
        return key === 'undefined' ? 'some id' : key
      }
    },
  },
  {
    fault: 'keeps the payload from the core',
    caughtBy: ['keys'],
    Adapter: holding(() => ({ body: new Uint8Array() })),
  },
  {
    fault: 'names one source for all queues',
    caughtBy: ['sources'],
    Adapter: holding(() => ({ source: 'queue' })),
  },
  {
    fault: 'starts handlers out of order',
    caughtBy: ['order'],
    Adapter: class extends ToyAdapter {
      override async handle(held: HeldMessage<ToyMessage>, context: HandlerContext): Promise<undefined> {
        if (held.message.body.endsWith('3')) await new Promise((resolve) => setTimeout(resolve, 10))
        return super.handle(held, context)
      }
    },
  },
]

const settling: readonly BrokenAdapter[] = [
  {
    fault: 'leaves unacked what it handled',
    caughtBy: ['once'],
    Adapter: holding(() => ({ ack: () => undefined })),
  },
  {
    fault: 'acks at delivery',
    caughtBy: ['acks'],
    Adapter: holding((sound) => {
      void sound.ack()
      return {}
    }),
  },
  {
    fault: 'acks when the handler returns, whatever the store says',
    caughtBy: ['acks'],
    Adapter: class extends ToyAdapter {
      override async handle(held: HeldMessage<ToyMessage>, context: HandlerContext): Promise<undefined> {
        await super.handle(held, context)
        await held.ack()
        return undefined
      }
    },
  },
  {
    fault: 'returns at once what is to come later',
    caughtBy: ['starts', 'busy'],
    Adapter: class extends ToyAdapter {
      override options(): Options {
        return { ...super.options(), window: 1, concurrency: 1, holdMs: 1 }
      }

      override retryLater(stored: Stored, retry: Retry): void {
        super.retryLater({ ...stored, starts: 0 }, { ...retry, delayMs: 0, starts: 0 })
      }
    },
  },
  {
    fault: 'dead-letters without the payload',
    caughtBy: ['keys'],
    Adapter: class extends ToyAdapter {
      override letterOf(...args: Parameters<ToyAdapter['letterOf']>): ToyLetter {
        return { ...super.letterOf(...args), body: '' }
      }
    },
  },
  {
    fault: 'dead-letters without a reason',
    caughtBy: ['dead letters'],
    Adapter: class extends ToyAdapter {
      override letterOf({ message }: Stored): ToyLetter {
        return { body: message.body }
      }
    },
  },
  {
    fault: 'never dead-letters',
    caughtBy: ['failure', 'starts'],
    Adapter: holding(() => ({ deadLetter: never })),
  },
  {
    fault: 'gives the handler its own message, and copies that',
    caughtBy: ['dead letters'],
    Adapter: class extends ToyAdapter {
      override held(stored: Stored, link: ToyLink): HeldMessage<ToyMessage> {
        const own: Stored = { ...stored, message: { ...stored.message } }
        link.unacked.delete(stored)
        link.unacked.add(own)
        return { ...super.held(own, link), message: own.message as ToyMessage }
      }
    },
  },
  {
    fault: 'gives the handler a copy as it came from the wait queue',
    caughtBy: ['copies'],
    Adapter: class extends ToyAdapter {
      override copyOf(stored: Stored, starts: number): Stored {
        return super.copyOf({ ...stored, message: { ...stored.message, route: 'wait' } }, starts)
      }
    },
  },
]

const closing: readonly BrokenAdapter[] = [
  {
    fault: 'does not wait for handlers at close',
    caughtBy: ['closing'],
    Adapter: class extends ToyAdapter {
      override close(): Promise<void> {
        return super.close({ timeoutMs: 0 })
      }
    },
  },
  {
    fault: 'acks at close what still runs',
    caughtBy: ['closing'],
    Adapter: class extends ToyAdapter {
      override async close(options?: { timeoutMs?: number }): Promise<void> {
        if (options !== undefined) for (const stored of this.link?.unacked ?? []) this.link?.ack(stored)
        await super.close(options)
      }
    },
  },
  {
    fault: 'goes on taking messages while it closes',
    caughtBy: ['closing'],
    Adapter: class extends ToyAdapter {
      override async open(...args: Parameters<ToyAdapter['open']>): Promise<Session> {
        return { ...(await super.open(...args)), stop: async () => undefined }
      }

      override held(stored: Stored, link: ToyLink): HeldMessage<ToyMessage> {
        const sound = super.held(stored, link)
        return { ...sound, giveBack: () => link.ack(stored) }
      }
    },
  },
  {
    fault: 'drops at close what did not start',
    caughtBy: ['outage'],
    Adapter: holding((sound) => ({ giveBack: () => sound.ack() })),
  },
  {
    fault: 'fails when it is closed twice',
    caughtBy: ['closing'],
    Adapter: class extends ToyAdapter {
      #isClosed = false

      override async close(options?: { timeoutMs?: number }): Promise<void> {
        if (this.#isClosed) throw new Error('closed')
        this.#isClosed = true
        await super.close(options)
      }
    },
  },
  {
    fault: 'lets what waits for one key take all its room',
    caughtBy: ['copies'],
    Adapter: class extends ToyAdapter {
      override options(): Options {
        return { ...super.options(), window: 100 }
      }

      override held(stored: Stored, link: ToyLink): HeldMessage<ToyMessage> {
        return { ...super.held(stored, link), retryLater: never }
      }
    },
  },
  {
    fault: 'forgets that a process ended while it handled a message',
    caughtBy: ['starts'],
    Adapter: class extends ToyAdapter {
      override options(): Options {
        const options = super.options()
        return { ...options, dedup: anew(options.dedup) }
      }
    },
  },
]

/** Forgets a key before it is asked for. */
function anew(dedup: ConsumeRequest['dedup']): ConsumeRequest['dedup'] {
  return new Proxy(dedup, {
    get(target, name) {
      if (name === 'process') {
        return async (delivery: Delivery, handler: Handler) => {
          if (typeof delivery.key === 'string') await target.forget(delivery.key).catch(() => undefined)
          return target.process(delivery, handler)
        }
      }
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

export const brokenAdapters: readonly BrokenAdapter[] = [...deciding, ...reading, ...settling, ...closing]
