import type { Claim, ReleaseReason, Settings } from '@oncemq/core/broker'
import type { ClientMessage, EachBatch } from './client.ts'
import type { ConsumedMessage } from './consumed-message.ts'
import { lost, retriable } from './given-back.ts'

export interface BatchGrant {
  readonly claim: Claim
  readonly attempt: number
  /** Whether a record of the store counts its starts. */
  readonly isRecorded: boolean
}

/** A record of a batch, on its way to its handler. */
export interface BatchRecord {
  readonly held: ConsumedMessage
  readonly message: ClientMessage
  isSettled: boolean
  /** What it is given with. */
  grant: BatchGrant | undefined
}

export interface GivenBatchServices {
  readonly settings: Pick<Settings<never>, 'attemptsMax' | 'onUnconfirmed'>
  /** What comes after it is not done, whatever is resolved. */
  readonly lastOffset: string
  /** Lets the client resolve. */
  readonly resolve: (offset: string) => void
}

/**
 * The part of a batch that a handler has.
 *
 *   granted ──resolveOffset, or the handler returns──▶ told to the store ──▶ resolved at the client
 *      └── the handler throws: failed, key free
 */
export class GivenBatch<Payload extends EachBatch> {
  readonly #payload: Payload
  readonly #services: GivenBatchServices
  readonly #messages: readonly ClientMessage[]
  /** What is neither done nor given back, in its order. */
  #open: readonly BatchRecord[]
  /** What the handler has failed at. */
  failed: readonly BatchRecord[] = []
  #wanted: string | undefined
  #resolving: Promise<void> | undefined
  /** What heartbeats threw: no failure of the handler. */
  readonly #interruptions = new Set<unknown>()

  constructor(payload: Payload, records: readonly BatchRecord[], services: GivenBatchServices) {
    this.#payload = payload
    this.#services = services
    this.#messages = records.map(({ message }) => message)
    this.#open = records
  }

  /** Answers whether all is done. @throws what the handler throws; OncemqError when a claim was lost. */
  async handledBy(handler: (payload: Payload) => unknown, autoResolve: boolean): Promise<boolean> {
    try {
      await handler(this.#given())
    } catch (error) {
      await this.#resolving?.catch(() => undefined)
      const { attemptsMax } = this.#services.settings
      const hasFailed = !this.#interruptions.has(error)
      if (hasFailed) this.failed = this.#open
      await this.#release((attempt) => (attempt >= attemptsMax ? 'spent' : 'failed'), hasFailed)
      throw hasFailed ? retriable(error) : error
    }
    try {
      await this.#resolving
      if (autoResolve) await this.#complete(this.#services.lastOffset)
      return this.#open.length === 0
    } finally {
      await this.#release(() => 'unstarted')
    }
  }

  #given(): Payload {
    const { batch } = this.#payload
    const messages = { value: this.#messages, enumerable: true }
    return {
      ...this.#payload,
      // With the methods of the client's own.
      batch: Object.create(batch, { messages }) as Payload['batch'],
      resolveOffset: (offset: string) => this.#resolve(offset),
      heartbeat: async () => {
        try {
          await this.#payload.heartbeat()
        } catch (error) {
          this.#interruptions.add(error)
          throw error
        }
      },
      commitOffsetsIfNecessary: async (offsets?: never) => {
        await this.#resolving
        await this.#payload.commitOffsetsIfNecessary(offsets)
      },
    }
  }

  /** Many at a time, if the store is slower than the handler. */
  #resolve(offset: string): void {
    this.#wanted = offset
    if (this.#resolving !== undefined) return
    this.#resolving = this.#resolveWanted()
    // It is thrown when the handler has ended.
    this.#resolving.catch(() => undefined)
  }

  async #resolveWanted(): Promise<void> {
    while (this.#wanted !== undefined) {
      const { lastOffset, resolve } = this.#services
      const offset = BigInt(this.#wanted) > BigInt(lastOffset) ? lastOffset : this.#wanted
      this.#wanted = undefined
      await this.#complete(offset)
      resolve(offset)
    }
    this.#resolving = undefined
  }

  /** @throws OncemqError when one is not known to be done. */
  async #complete(offset: string): Promise<void> {
    const isMeant = ({ message }: BatchRecord): boolean => BigInt(message.offset) <= BigInt(offset)
    const done = this.#open.filter(isMeant)
    this.#open = this.#open.slice(done.length)
    const told = done.map(async ({ grant }) => (await grant?.claim.complete()) ?? 'completed')
    const { onUnconfirmed } = this.#services.settings
    for (const completion of await Promise.all(told)) {
      if (completion === 'completed' || (completion === 'unconfirmed' && onUnconfirmed === 'ack')) continue
      throw lost()
    }
  }

  async #release(reasonOf: (attempt: number) => ReleaseReason, hasFailed = true): Promise<void> {
    const released = this.#open.map(async ({ grant }) =>
      grant?.claim.release(hasFailed ? reasonOf(grant.attempt) : 'unstarted'),
    )
    this.#open = []
    await Promise.all(released)
  }
}
