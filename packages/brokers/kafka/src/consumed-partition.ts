import type { TakenLog } from '@oncemq/core/broker'

/**
 * A record's place in its partition. A topic that is made anew begins again with offset 0, at another time.
 */
export interface Place {
  readonly offset: string
  readonly timestamp: string
}

/** What is held of one partition for as long as it is assigned to this consumer. */
export class ConsumedPartition {
  readonly topic: string
  readonly partition: number
  /** Whether the client was told to fetch no more of it. */
  isPaused = false
  /** How far it is done, where the strategy follows that; nothing is received before it is taken. */
  log: TakenLog | undefined
  isTaking = false
  /** The first record that was received: where to go on while no log says more. */
  from: bigint | undefined
  /** Records that are here and not handed over yet: one waits for the store. */
  arriving: Promise<void> | undefined
  readonly #lost = new AbortController()
  /** In the order of their arrival. */
  readonly #records = new Map<string, { readonly offset: string; isSettled: boolean }>()
  /** Settled without a gap, and not known to be committed: a client that joins again fetches them again. */
  readonly #uncommitted = new Map<string, string>()
  #next: string | undefined
  /** The one after the last record that was received. */
  #unread: bigint | undefined

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

  /** It goes on where its log is, whatever offset the group has, which is to have this one. */
  goOn(next: bigint): void {
    this.#next = `${next}`
  }

  /** Where to go on, of one whose log is taken; `undefined` where only the group's offset says. */
  get unread(): bigint | undefined {
    return this.#unread ?? this.log?.next
  }

  /**
   * Answers whether the record is new here: a client that joins its group again fetches once more what is not
   * committed.
   */
  receive(place: Place): boolean {
    const name = nameOf(place)
    if (this.#records.has(name) || this.#uncommitted.has(name)) return false
    this.#records.set(name, { offset: place.offset, isSettled: false })
    this.from ??= BigInt(place.offset)
    this.#unread = BigInt(place.offset) + 1n
    return true
  }

  /** Answers whether there is a further offset to be committed. */
  settle(place: Place): boolean {
    const record = this.#records.get(nameOf(place))
    if (this.signal.aborted || record === undefined) return false
    record.isSettled = true
    const before = this.#next
    for (const [name, { offset, isSettled }] of this.#records) {
      if (!isSettled) break
      this.#records.delete(name)
      this.#next = `${BigInt(offset) + 1n}`
      this.#uncommitted.set(name, this.#next)
    }
    return this.#next !== before
  }

  /**
   * Up to this offset there is nothing for a consumer: records of transactions that were aborted, and those
   * that end transactions. Answers whether there is a further offset to be committed.
   */
  pass(offset: string): boolean {
    const place = { offset, timestamp: '' }
    return this.receive(place) && this.settle(place)
  }

  /** The group has this offset. */
  committed(next: string): void {
    if (![...this.#uncommitted.values()].includes(next)) return
    for (const [name, after] of this.#uncommitted) {
      this.#uncommitted.delete(name)
      if (after === next) return
    }
  }

  lose(): void {
    this.#lost.abort()
    void this.log?.release()
    this.#records.clear()
    this.#uncommitted.clear()
  }
}

function nameOf({ offset, timestamp }: Place): string {
  return `${offset}@${timestamp}`
}
