import type { HandlerContext, ProcessOutcome } from '@oncemq/core'
import type { SuiteMessage } from '../src/index.ts'
import { ToyAdapter } from './toy-broker.ts'

/** An adapter that is wrong in one way, and the properties whose cases must notice it. */
export interface BrokenAdapter {
  readonly fault: string
  readonly caughtBy: readonly string[]
  readonly Adapter: typeof ToyAdapter
}

const unprotected: HandlerContext = {
  key: undefined,
  epoch: 0,
  attempt: 1,
  signal: new AbortController().signal,
  tx: undefined,
}

/** Runs the handler where an outcome says not to. */
function handling(status: ProcessOutcome['status']): typeof ToyAdapter {
  return class extends ToyAdapter {
    override async process(message: SuiteMessage): Promise<ProcessOutcome> {
      const outcome = await super.process(message)
      if (outcome.status !== status) return outcome
      await this.handle(message, unprotected).catch(() => undefined)
      return { status: 'completed', result: undefined, protected: false }
    }
  }
}

/** Settles an outcome in another way. */
function settling(
  status: ProcessOutcome['status'],
  settle: (adapter: { link: ToyAdapter['link'] }, message: SuiteMessage) => void,
): typeof ToyAdapter {
  return class extends ToyAdapter {
    override settle(message: SuiteMessage, outcome: ProcessOutcome): void {
      if (outcome.status === status) settle(this, message)
      else super.settle(message, outcome)
    }
  }
}

export const brokenAdapters: readonly BrokenAdapter[] = [
  { fault: 'passes duplicates on', caughtBy: ['once', 'redelivery'], Adapter: handling('duplicate') },
  {
    fault: 'handles what is busy',
    caughtBy: ['busy', 'redelivery'],
    Adapter: class extends handling('busy') {
      override readonly waiting = AbortSignal.abort()
    },
  },
  { fault: 'handles without a store', caughtBy: ['outage'], Adapter: handling('unavailable') },
  { fault: 'handles what is rejected', caughtBy: ['keys'], Adapter: handling('rejected') },
  {
    fault: 'leaves duplicates unacked',
    caughtBy: ['once', 'redelivery'],
    Adapter: settling('duplicate', () => undefined),
  },
  {
    fault: 'dead-letters duplicates',
    caughtBy: ['failure'],
    Adapter: settling('duplicate', ({ link }, message) => link.deadLetter(message)),
  },
  {
    fault: 'acks what is busy',
    caughtBy: ['busy'],
    Adapter: settling('busy', ({ link }, message) => link.ack(message)),
  },
  {
    fault: 'requeues at once what is busy',
    caughtBy: ['busy'],
    Adapter: settling('busy', ({ link }, message) => queueMicrotask(() => link.requeue(message))),
  },
  {
    fault: 'acks while the store is down',
    caughtBy: ['outage'],
    Adapter: settling('unavailable', ({ link }, message) => link.ack(message)),
  },
  {
    fault: 'acks what failed',
    caughtBy: ['failure'],
    Adapter: settling('failed', ({ link }, message) => link.ack(message)),
  },
  {
    fault: 'requeues what failed for good',
    caughtBy: ['failure'],
    Adapter: settling('failed', ({ link }, message) => setTimeout(() => link.requeue(message), 20)),
  },
  {
    fault: 'drops what is rejected',
    caughtBy: ['keys'],
    Adapter: settling('rejected', ({ link }, message) => link.ack(message)),
  },
  {
    fault: 'dead-letters without the payload',
    caughtBy: ['keys'],
    Adapter: settling('rejected', ({ link }, message) => {
      Object.assign(message, { body: '' })
      link.deadLetter(message)
    }),
  },
  {
    fault: 'leaves unacked what it handled',
    caughtBy: ['once'],
    Adapter: settling('completed', () => undefined),
  },
  {
    fault: 'acks at delivery',
    caughtBy: ['acks', 'failure', 'closing'],
    Adapter: class extends ToyAdapter {
      override async receive(message: SuiteMessage): Promise<void> {
        this.link.ack(message)
        await super.receive(message)
      }
    },
  },
  {
    fault: 'acks when the handler returns, whatever the store says',
    caughtBy: ['acks'],
    Adapter: class extends ToyAdapter {
      override async handle(message: SuiteMessage, context: HandlerContext): Promise<void> {
        await super.handle(message, context)
        this.link.ack(message)
      }
    },
  },
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
      override keyOf({ key }: SuiteMessage): string {
        return key ?? 'none'
      }
    },
  },
  {
    fault: 'keeps the payload from the core',
    caughtBy: ['keys'],
    Adapter: class extends ToyAdapter {
      override payloadOf(): undefined {
        return undefined
      }
    },
  },
  {
    fault: 'does not tell epoch and attempt',
    caughtBy: ['once', 'failure', 'busy'],
    Adapter: class extends ToyAdapter {
      override handle(message: SuiteMessage, context: HandlerContext): Promise<void> {
        return super.handle(message, { ...unprotected, key: context.key })
      }
    },
  },
  {
    fault: 'starts handlers out of order',
    caughtBy: ['order'],
    Adapter: class extends ToyAdapter {
      override async receive(message: SuiteMessage): Promise<void> {
        if (message.body.endsWith('3')) await new Promise((resolve) => setTimeout(resolve, 10))
        await super.receive(message)
      }
    },
  },
  {
    fault: 'does not wait for handlers at close',
    caughtBy: ['closing'],
    Adapter: class extends ToyAdapter {
      override async close(): Promise<void> {
        this.stop()
        this.link.close()
      }
    },
  },
  {
    fault: 'goes on taking messages while it closes',
    caughtBy: ['closing'],
    Adapter: class extends ToyAdapter {
      override stop(): void {}
    },
  },
  {
    fault: 'drops at close what did not start',
    caughtBy: ['outage'],
    Adapter: class extends ToyAdapter {
      override later(message: SuiteMessage, delayMs: number): void {
        if (this.stopping.signal.aborted) this.link.ack(message)
        else super.later(message, delayMs)
      }
    },
  },
  {
    fault: 'fails when it is closed twice',
    caughtBy: ['closing'],
    Adapter: class extends ToyAdapter {
      override async close(): Promise<void> {
        if (this.stopping.signal.aborted) throw new Error('closed')
        await super.close()
      }
    },
  },
]
