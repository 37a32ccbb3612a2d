import { MemorySegment } from './memory-segment.ts'

// A segment of about this many records grows or is swept in one to two milliseconds. There are few of them,
// so that what is known of each stays in the processor's cache: with four times as many, a claim was measured
// to cost a third more.
const SEGMENT_KEYS = 16_384
// The first bits of an id choose its segment: there is one bit at least.
const SEGMENTS_MIN = 2

/**
 * Records by 128-bit id, cut into segments by the id's first bits. Each segment grows and is swept alone, so
 * that no single call pays for the whole table (one `Map` of ten million keys stops the process for a second
 * when it grows).
 *
 * A record takes 56 bytes: id 16, claim id 16 (exact, so that only its owner completes it, and may repeat
 * that), lease end 8, expiry 8, epoch 4, attempts and state 4. At the load of 0.64 to 0.8 that is 70 to 88
 * bytes a key (71 measured at a million). A readable label, a fingerprint or a result adds an object beside
 * it: about 100 bytes and its own length (215 in all, measured with labels of 40 characters).
 */
export class MemoryTable {
  readonly #segments: readonly MemorySegment[]
  readonly #shift: number
  #sweepFrom = 0

  constructor(keysMax: number) {
    let count = SEGMENTS_MIN
    while (count * SEGMENT_KEYS < keysMax) count *= 2
    this.#shift = 32 - Math.log2(count)
    this.#segments = Array.from({ length: count }, () => new MemorySegment())
  }

  /** The bytes of all packed records and the free room between them. */
  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytes, 0)
  }

  /** Slots that were looked at or moved by growing and sweeping so far. */
  get work(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.work, 0)
  }

  segmentOf(id: Uint32Array): MemorySegment {
    return this.#segments[(id[0] as number) >>> this.#shift] as MemorySegment
  }

  /** Removes at most `limit` expired records, going on where the last sweep ended; answers how many went. */
  sweep(nowMs: number, limit: number): number {
    const segments = this.#segments
    let removed = 0
    for (let visited = 0; visited < segments.length; visited += 1) {
      removed += (segments[this.#sweepFrom] as MemorySegment).sweep(nowMs, limit - removed)
      if (removed === limit) break
      this.#sweepFrom = (this.#sweepFrom + 1) % segments.length
    }
    return removed
  }
}

/** Reads 32 lower-case hexadecimal digits into four words, without making strings on the way. */
export function readHex(digits: string, into: Uint32Array): Uint32Array {
  for (let word = 0; word < 4; word += 1) {
    let value = 0
    for (let at = word * 8; at < word * 8 + 8; at += 1) {
      const code = digits.charCodeAt(at)
      // '0'-'9' are 0x30-0x39, and 'a'-'f' are 0x61-0x66: bit 6 tells them apart.
      value = (value << 4) | ((code & 15) + (code >>> 6) * 9)
    }
    into[word] = value
  }
  return into
}
