/** The fields that few records have, beside the packed ones. */
export interface MemoryExtras {
  readonly fingerprint: string | undefined
  readonly label: string | undefined
  readonly result: Uint8Array | undefined
}

export const RUNNING = 1
export const DONE = 2
export const FREE = 3

/** What {@link MemorySegment.find} answers for an id without a record. */
export const ABSENT = -1

// One record is 14 words of 32 bits (56 bytes): id 4, claim id 4, epoch 1, attempts and state 1, and two
// doubles. An empty slot has state 0.
const RECORD_WORDS = 14
const CLAIM = 4
const EPOCH = 8
const META = 9
const RECORD_DOUBLES = 7
const LEASE_UNTIL = 5
const EXPIRES_AT = 6

const STATE_BITS = 2
const STATE_MASK = 3

// Linear probing stays short up to this load; growing by a quarter wastes little memory and copies a record
// about four times in all.
const LOAD_MAX = 0.8
const GROWTH = 1.25
const CAPACITY_MIN = 8

/**
 * A part of a {@link MemoryTable}: records packed into one buffer, open addressing with linear probing,
 * removal by shifting back (Knuth, TAOCP 3, 6.4, algorithm R), so that no tombstones gather. A slot number is
 * valid until the next `insert`, `remove` or `sweep`.
 */
export class MemorySegment {
  size = 0
  /** Slots that were looked at or moved so far: what the tests count instead of time. */
  work = 0
  /** No record expires before this time: lets a sweep pass by without looking. */
  earliestExpiryMs = Infinity
  #capacity = 0
  #words = new Uint32Array(0)
  #doubles = new Float64Array(0)
  #extras: (MemoryExtras | undefined)[] | undefined

  get bytes(): number {
    return this.#words.byteLength
  }

  find(id: Uint32Array): number {
    if (this.size === 0) return ABSENT
    const words = this.#words
    let slot = this.#home(id, 0)
    for (;;) {
      const at = slot * RECORD_WORDS
      if (words[at + META] === 0) return ABSENT
      if (
        words[at] === id[0] &&
        words[at + 1] === id[1] &&
        words[at + 2] === id[2] &&
        words[at + 3] === id[3]
      ) {
        return slot
      }
      slot = this.#after(slot)
    }
  }

  /** Adds an absent id as a free record that was never granted. */
  insert(id: Uint32Array): number {
    if (this.size + 1 > this.#capacity * LOAD_MAX) this.#grow()
    const slot = this.#emptySlotFor(id, 0)
    const at = slot * RECORD_WORDS
    for (let word = 0; word < CLAIM; word += 1) this.#words[at + word] = id[word] as number
    this.#words[at + META] = FREE
    this.size += 1
    return slot
  }

  remove(slot: number): void {
    let hole = slot
    for (let next = this.#after(hole); this.state(next) !== 0; next = this.#after(next)) {
      this.work += 1
      const home = this.#home(this.#words, next * RECORD_WORDS)
      if (this.#distance(home, next) < this.#distance(hole, next)) continue
      this.#move(next, hole)
      hole = next
    }
    this.#clear(hole)
    this.size -= 1
  }

  /** Removes at most `limit` records that expired by `nowMs`; answers how many went. */
  sweep(nowMs: number, limit: number): number {
    if (this.earliestExpiryMs > nowMs) return 0
    let removed = 0
    let earliestMs = Infinity
    let slot = 0
    while (slot < this.#capacity) {
      this.work += 1
      if (this.state(slot) === 0) {
        slot += 1
      } else if (this.expiresAtMs(slot) > nowMs) {
        earliestMs = Math.min(earliestMs, this.expiresAtMs(slot))
        slot += 1
      } else if (removed === limit) {
        return removed
      } else {
        // A later record may move into this slot, so it is looked at again.
        this.remove(slot)
        removed += 1
      }
    }
    this.earliestExpiryMs = earliestMs
    return removed
  }

  state(slot: number): number {
    return (this.#words[slot * RECORD_WORDS + META] as number) & STATE_MASK
  }

  attempts(slot: number): number {
    return (this.#words[slot * RECORD_WORDS + META] as number) >>> STATE_BITS
  }

  epoch(slot: number): number {
    return this.#words[slot * RECORD_WORDS + EPOCH] as number
  }

  leaseUntilMs(slot: number): number {
    return this.#doubles[slot * RECORD_DOUBLES + LEASE_UNTIL] as number
  }

  expiresAtMs(slot: number): number {
    return this.#doubles[slot * RECORD_DOUBLES + EXPIRES_AT] as number
  }

  extras(slot: number): MemoryExtras | undefined {
    return this.#extras?.[slot]
  }

  isClaimedBy(slot: number, claimId: Uint32Array): boolean {
    const at = slot * RECORD_WORDS + CLAIM
    const words = this.#words
    return (
      words[at] === claimId[0] &&
      words[at + 1] === claimId[1] &&
      words[at + 2] === claimId[2] &&
      words[at + 3] === claimId[3]
    )
  }

  setState(slot: number, state: number, attempts: number): void {
    this.#words[slot * RECORD_WORDS + META] = (attempts << STATE_BITS) | state
  }

  setTimes(slot: number, leaseUntilMs: number, expiresAtMs: number): void {
    this.#doubles[slot * RECORD_DOUBLES + LEASE_UNTIL] = leaseUntilMs
    this.#doubles[slot * RECORD_DOUBLES + EXPIRES_AT] = expiresAtMs
    if (expiresAtMs < this.earliestExpiryMs) this.earliestExpiryMs = expiresAtMs
  }

  setClaim(slot: number, claimId: Uint32Array, epoch: number): void {
    const at = slot * RECORD_WORDS
    for (let word = 0; word < 4; word += 1) this.#words[at + CLAIM + word] = claimId[word] as number
    this.#words[at + EPOCH] = epoch
  }

  setExtras(slot: number, extras: MemoryExtras | undefined): void {
    if (this.#extras === undefined) {
      if (extras === undefined) return
      this.#extras = newExtras(this.#capacity)
    }
    this.#extras[slot] = extras
  }

  /** Where the id at `words[at]` would stand if nothing were in its way. */
  #home(words: Uint32Array, at: number): number {
    const mixed =
      (words[at] as number) ^
      Math.imul(words[at + 1] as number, 0x9e3779b1) ^
      Math.imul(words[at + 2] as number, 0x85ebca6b) ^
      Math.imul(words[at + 3] as number, 0xc2b2ae35)
    const spread = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d)
    return Math.floor((((spread ^ (spread >>> 13)) >>> 0) / 2 ** 32) * this.#capacity)
  }

  #after(slot: number): number {
    return slot + 1 === this.#capacity ? 0 : slot + 1
  }

  #distance(from: number, to: number): number {
    return to >= from ? to - from : to - from + this.#capacity
  }

  #emptySlotFor(words: Uint32Array, at: number): number {
    let slot = this.#home(words, at)
    while (this.state(slot) !== 0) slot = this.#after(slot)
    return slot
  }

  #move(from: number, to: number): void {
    const words = this.#words
    words.copyWithin(to * RECORD_WORDS, from * RECORD_WORDS, (from + 1) * RECORD_WORDS)
    if (this.#extras !== undefined) this.#extras[to] = this.#extras[from]
  }

  #clear(slot: number): void {
    this.#words.fill(0, slot * RECORD_WORDS, (slot + 1) * RECORD_WORDS)
    if (this.#extras !== undefined) this.#extras[slot] = undefined
  }

  #grow(): void {
    const oldWords = this.#words
    const oldExtras = this.#extras
    const oldCapacity = this.#capacity
    this.#capacity = Math.max(CAPACITY_MIN, Math.ceil(oldCapacity * GROWTH))
    this.#words = new Uint32Array(this.#capacity * RECORD_WORDS)
    this.#doubles = new Float64Array(this.#words.buffer)
    if (oldExtras !== undefined) this.#extras = newExtras(this.#capacity)
    this.work += oldCapacity
    for (let slot = 0; slot < oldCapacity; slot += 1) {
      const from = slot * RECORD_WORDS
      if (oldWords[from + META] === 0) continue
      const moved = this.#emptySlotFor(oldWords, from)
      const to = moved * RECORD_WORDS
      // As words, never as doubles: a copy of a double may change the bits of a NaN.
      for (let word = 0; word < RECORD_WORDS; word += 1)
        this.#words[to + word] = oldWords[from + word] as number
      if (oldExtras !== undefined) this.setExtras(moved, oldExtras[slot])
    }
  }
}

function newExtras(capacity: number): (MemoryExtras | undefined)[] {
  return Array.from<MemoryExtras | undefined>({ length: capacity })
}
