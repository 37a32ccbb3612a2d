import { setTimeout as delay } from 'node:timers/promises'
import type { Deduplicator, HandlerContext, Store } from '@oncemq/core'
import type { Order } from './crew.ts'
import { History } from './history.ts'

/** Of members that are killed or frozen, again and again. */
export const memberOptions = {
  leaseMs: 3000,
  storeTimeoutMs: 1500,
  // Not the default, so that nothing is acked that is not done.
  onUnconfirmed: 'retry',
} as const

/** Long enough for a queue of work to stand when something is killed. */
const WORK_MS = 20

const { pid } = process

/**
 * This process as a member of a crew: it notes what it does, halts in the middle of a handler or ends as it
 * is told, and ends with its parent.
 */
export class Worker {
  readonly history: History
  readonly #stopped: Promise<void>
  #runsToHalt = Number.POSITIVE_INFINITY

  constructor(historyFile: string) {
    this.history = new History(historyFile)
    this.#stopped = new Promise((resolve) => {
      process.on('message', (order: Order) => {
        if (order.type === 'stop') resolve()
        else this.#runsToHalt = order.runs
      })
    })
    process.once('disconnect', () => process.exit())
  }

  watch(dedup: Pick<Deduplicator<never>, 'on'>): void {
    dedup.on('completed', ({ key = 'none' }) => this.history.append({ type: 'done', pid, key }))
    dedup.on('duplicate', ({ key = 'none' }) => this.history.append({ type: 'known', pid, key }))
    dedup.on('unconfirmed', ({ key = 'none' }) => this.history.append({ type: 'unconfirmed', pid, key }))
    dedup.on('lost', ({ key = 'none' }) => this.history.append({ type: 'lost', pid, key }))
    dedup.on('outage', () => this.history.append({ type: 'outage', pid }))
    dedup.on('recovered', () => this.history.append({ type: 'recovered', pid }))
  }

  /**
   * Notes what the store grants, before the consumer has the answer: from then on it may be frozen on the way
   * to the first line of the handler. The key is the end of the record's readable one.
   */
  noting<Granting extends Pick<Store, 'claim'>>(store: Granting): Granting {
    const claim = store.claim.bind(store)
    store.claim = async (batch, options) => {
      const answers = await claim(batch, options)
      for (const [position, answer] of answers.entries()) {
        if (answer.status !== 'granted') continue
        const key = batch[position]?.label?.split('/').at(-1) ?? 'none'
        this.history.append({ type: 'granted', pid, key, epoch: answer.epoch })
      }
      return answers
    }
    return store
  }

  /** The work of a handler. */
  async work(
    { key = '', epoch }: Pick<HandlerContext, 'key' | 'epoch'>,
    effect: () => Promise<unknown> = async () => undefined,
  ): Promise<void> {
    this.history.append({ type: 'run', pid, key, epoch })
    this.#runsToHalt -= 1
    if (this.#runsToHalt === 0) await halt()
    await effect()
    await delay(WORK_MS)
    this.history.append({ type: 'ran', pid, key })
  }

  /** Says that it consumes, and closes these one after the other when it is told to end. */
  async serve(...closed: readonly { close(): Promise<void> }[]): Promise<void> {
    process.send?.('ready')
    await this.#stopped
    for (const each of closed) await each.close()
    process.disconnect()
  }
}

/** What a program of a worker is given. */
export function assignment<Given>(): Given {
  return JSON.parse(process.argv[2] ?? '') as Given
}

/** Stays in the middle of a handler until it is killed there. */
async function halt(): Promise<never> {
  process.send?.('halted')
  return new Promise(() => undefined)
}
