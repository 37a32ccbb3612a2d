import type { Delivery, Handler, HandlerContext } from '@oncemq/core'
import type { HeldMessage, Retry, Session } from '@oncemq/core/broker'
import type { ConsumeRequest } from '../src/index.ts'
import { holding, never } from './broken-adapter.ts'
import type { BrokenAdapter, Options } from './broken-adapter.ts'
import { ToyAdapter } from './toy-broker.ts'
import type { Stored, ToyLetter, ToyLink, ToyMessage } from './toy-broker.ts'

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
    caughtBy: ['starts'],
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

/** Those that read or settle otherwise than they should. */
export const brokenVerbs: readonly BrokenAdapter[] = [...reading, ...settling, ...closing]
