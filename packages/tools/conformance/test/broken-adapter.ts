import type { Delivery, Handler, HandlerContext, ProcessOutcome } from '@oncemq/core'
import type { HeldMessage, ManagedConsumerOptions } from '@oncemq/core/broker'
import { ToyAdapter } from './toy-broker.ts'
import type { Stored, ToyLink, ToyMessage } from './toy-broker.ts'

/** An adapter that is wrong in one way, and the properties whose cases must notice it. */
export interface BrokenAdapter {
  readonly fault: string
  readonly caughtBy: readonly string[]
  readonly Adapter: typeof ToyAdapter
}

export type Options = ManagedConsumerOptions<undefined, ToyMessage>
type Process = (delivery: Delivery, handler: Handler) => Promise<ProcessOutcome>

export const unprotected: HandlerContext = {
  key: undefined,
  epoch: 0,
  attempt: 1,
  signal: new AbortController().signal,
  childId: (name) => name,
  tx: undefined,
}
const acked: ProcessOutcome = { status: 'duplicate', result: undefined }

/** Asks the deduplicator otherwise. */
export function processing(change: (sound: Process) => Process): typeof ToyAdapter {
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
export function handling(status: ProcessOutcome['status'], given: Partial<Delivery> = {}): typeof ToyAdapter {
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
export function acking(status: ProcessOutcome['status'], given: Partial<Delivery> = {}): typeof ToyAdapter {
  return processing((sound) => async (delivery, handler) => {
    const outcome = await sound({ ...delivery, ...given }, handler)
    return outcome.status === status ? acked : outcome
  })
}

/** Holds a message otherwise. */
export function holding(
  change: (sound: HeldMessage<ToyMessage>, stored: Stored, link: ToyLink) => Partial<HeldMessage<ToyMessage>>,
): typeof ToyAdapter {
  return class extends ToyAdapter {
    override held(stored: Stored, link: ToyLink): HeldMessage<ToyMessage> {
      const sound = super.held(stored, link)
      return { ...sound, ...change(sound, stored, link) }
    }
  }
}

export const never = (): Promise<never> => new Promise(() => undefined)
