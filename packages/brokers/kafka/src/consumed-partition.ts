/** What is held of one partition for as long as it is assigned to this consumer. */
export class ConsumedPartition {
  readonly topic: string
  readonly partition: number
  /** Whether the client was told to fetch no more of it. */
  isPaused = false
  /** Records that are here and not handed over yet: one waits for the store. */
  arriving: Promise<void> | undefined
  readonly #lost = new AbortController()
  /** By offset, in the order of their arrival: whether it is settled. */
  readonly #records = new Map<string, boolean>()
  #next: string | undefined

  constructor(topic: string, partition: number) {
    this.topic = topic
    this.partition = partition
  }

  /** Aborts when the partition is another consumer's. */
  get signal(): AbortSignal {
    return this.#lost.signal
  }

  /** How many records are held, or settled after one that is held. */
  get size(): number {
    return this.#records.size
  }

  /**
   * The offset to be committed: the one after those that are settled without a gap. `undefined` before the
   * first of them is.
   */
  get committable(): string | undefined {
    return this.#next
  }

  /**
   * Answers whether the record is new here: a client that joins its group again fetches once more what is not
   * committed.
   */
  receive(offset: string): boolean {
    if (this.#records.has(offset)) return false
    this.#records.set(offset, false)
    return true
  }

  /** Answers whether there is a further offset to be committed. */
  settle(offset: string): boolean {
    if (this.signal.aborted || !this.#records.has(offset)) return false
    this.#records.set(offset, true)
    const before = this.#next
    for (const [first, isSettled] of this.#records) {
      if (!isSettled) break
      this.#records.delete(first)
      this.#next = `${BigInt(first) + 1n}`
    }
    return this.#next !== before
  }

  lose(): void {
    this.#lost.abort()
    this.#records.clear()
  }
}
