import type { Random } from '../time/random.ts'
import type { ClaimAnswer, ClaimRequest } from './contract.ts'

/** More than a worker meets at a time; when there are more, it finds out again which are locked. */
const REMEMBERED_MAX = 10_000

/** As many as it takes to find one locked entry among four thousand, each of which waits for a lock. */
const WAITS_MAX = 12

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

/** How {@link inPieces} asks for entries of a batch. */
export interface PieceSteps extends Pick<ClaimWays, 'isLockTaken'> {
  readonly random: Random
  /** Asks for the entries from one position up to another, which is not among them. */
  ask(from: number, to: number): Promise<void>
}

/**
 * Asks for all entries of a batch, and for halves of what fails because some entry is locked, until a number
 * of them have failed: whoever locks a whole range must not hold up the rest of the batch for each of its
 * entries. What was not answered by then is to be taken for locked, and is asked for again. Large pieces go
 * first, which is quick where the locked entries lie together, then small ones, so that each time some get
 * through where they do not.
 * @example
 * const answers = batch.map(() => BUSY)
 * const ask = async (from, to) => {
 *   answers.splice(from, to - from, ...(await claim(batch.slice(from, to))))
 * }
 * await inPieces(batch.length, { ask, isLockTaken, random })
 */
export async function inPieces(count: number, steps: PieceSteps): Promise<void> {
  const open: (readonly [number, number])[] = [[0, count]]
  let waits = 0
  while (waits < WAITS_MAX) {
    const piece = waits < WAITS_MAX / 2 ? open.shift() : open.pop()
    if (piece === undefined) return
    const [from, to] = piece
    try {
      await steps.ask(from, to)
    } catch (error) {
      if (!steps.isLockTaken(error)) throw error
      waits += 1
      if (to - from > 1) open.push(...halvesOf(from, to, steps.random))
    }
  }
}

/** In any order, so that none of them is the one that there is never time for. */
function halvesOf(from: number, to: number, random: Random): readonly (readonly [number, number])[] {
  const middle = Math.ceil((from + to) / 2)
  const halves = [[from, middle] as const, [middle, to] as const]
  return random.fraction() < 1 / 2 ? halves : halves.toReversed()
}
