import type { ClaimAnswer, ClaimRequest } from './contract.ts'

/** More than a worker meets at a time; when there are more, it finds out again which are locked. */
const REMEMBERED_MAX = 10_000

/** The two ways in which a store claims where records can be locked by others. */
export interface ClaimWays {
  /** The quick way. It waits for a record that somebody has locked, and fails when that takes too long. */
  usual(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]>
  /** Waits for no record that somebody has locked, but answers that it is busy. */
  careful(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]>
  /** Whether the usual way failed because of a locked record. */
  isLockTaken(error: unknown): boolean
}

/**
 * Claims beside records that somebody has locked, perhaps a worker whose host vanished, until the server ends
 * its transaction. Such a record is asked for again and again, each time with others; so once it was found
 * busy that way it is asked for by itself, and the others of its batch never wait for it again.
 * @example
 * readonly #locked = new LockedRecords({ usual, careful, isLockTaken })
 * claim(batch: readonly ClaimRequest[]) { return this.#locked.claim(batch) }
 */
export class LockedRecords {
  readonly #ways: ClaimWays
  readonly #ids = new Set<string>()

  constructor(ways: ClaimWays) {
    this.#ways = ways
  }

  async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    if (this.#ids.size === 0) return this.#usual(batch)
    const isKnown = batch.map(({ id }) => this.#ids.has(id))
    const known = batch.filter((_, at) => isKnown[at])
    if (known.length === 0) return this.#usual(batch)
    const others = batch.filter((_, at) => !isKnown[at])
    const [careful, usual] = await Promise.all([
      this.#careful(known),
      others.length === 0 ? [] : this.#usual(others),
    ])
    const next = { careful: careful.values(), usual: usual.values() }
    return isKnown.map((known) => next[known ? 'careful' : 'usual'].next().value as ClaimAnswer)
  }

  async #usual(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    try {
      return await this.#ways.usual(batch)
    } catch (error) {
      if (!this.#ways.isLockTaken(error)) throw error
      return this.#careful(batch)
    }
  }

  async #careful(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    const answers = await this.#ways.careful(batch)
    for (const [at, { id }] of batch.entries()) {
      if (answers[at]?.status !== 'busy') this.#ids.delete(id)
      else if (this.#ids.size < REMEMBERED_MAX) this.#ids.add(id)
      else this.#ids.clear()
    }
    return answers
  }
}
