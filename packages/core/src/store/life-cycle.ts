import { StoreError } from '../errors.ts'

/** What a {@link LifeCycle} opens, and how it ends it. */
export interface LifeCycleSteps<Opened> {
  /** The store's class, for messages. */
  readonly name: string
  /** Makes all that the store works with. When it fails, it leaves nothing open. */
  connect(): Promise<Opened>
  /** Ends what `connect` made. */
  end(opened: Opened): Promise<void> | void
}

/**
 * Opening and closing, as every store does it.
 *
 *   closed ──open()──▶ opening ──connected──▶ open ──close()──▶ closed, which can be opened again
 *     ▲                 │   │
 *     ├─────failed──────┘   │
 *     └──────close()────────┘  what still gets connected is ended, and not kept
 *
 * @example
 * readonly #life = new LifeCycle({
 *   name: 'MapStore',
 *   connect: () => this.#connect(),
 *   end: ({ pool }) => pool.end(),
 * })
 */
export class LifeCycle<Opened> {
  readonly #steps: LifeCycleSteps<Opened>
  #opening: Promise<Opened> | undefined
  #opened: Opened | undefined
  #closing: Promise<void> = Promise.resolve()

  constructor(steps: LifeCycleSteps<Opened>) {
    this.#steps = steps
  }

  /** Connects once, however many ask. After a failure, and after `close`, the next call connects again. */
  async open(): Promise<Opened> {
    const opening = (this.#opening ??= this.#steps.connect())
    try {
      const opened = await opening
      // It may have been closed meanwhile, and opened again.
      if (this.#opening === opening) this.#opened = opened
      return opened
    } catch (error) {
      if (this.#opening === opening) this.#opening = undefined
      throw error
    }
  }

  /**
   * What the store works with.
   * @throws StoreError `ONCEMQ_CLOSED` unless it is open.
   */
  get opened(): Opened {
    if (this.#opened !== undefined) return this.#opened
    throw new StoreError(
      'ONCEMQ_CLOSED',
      `${this.#steps.name}: expected an open store, received one that is not; await open() before its use`,
    )
  }

  /**
   * Ends what is open, or what an `open` under way will have made. Idempotent: every call resolves once
   * nothing is open.
   */
  async close(): Promise<void> {
    const opening = this.#opening
    this.#opening = undefined
    this.#opened = undefined
    if (opening === undefined) return this.#closing
    const ending = this.#end(opening)
    this.#closing = Promise.allSettled([this.#closing, ending]).then(() => undefined)
    await ending
  }

  async #end(opening: Promise<Opened>): Promise<void> {
    let opened: Opened
    try {
      opened = await opening
    } catch {
      // Nothing was opened. Whoever opened it knows why.
      return
    }
    await this.#steps.end(opened)
  }
}
