import type {
  ClaimAnswer,
  ClaimRequest,
  ClaimUpdate,
  CompleteUpdate,
  StoredRecord,
  UpdateAnswer,
} from '@oncemq/core/store'
import { inPieces, LockedRecords, systemRandom } from '@oncemq/core/store'
import type { Connections } from './connection.ts'
import { isLockTaken } from './errors.ts'
import { DONE, FREE, RUNNING, SWEEP_BLOCKS } from './statements.ts'
import type { ClaimStatements, Statements } from './statements.ts'

const STATE_NAMES = Object.freeze({ [FREE]: 'free', [RUNNING]: 'running', [DONE]: 'done' } as const)
const STATE_AFTER = Object.freeze({ release: FREE, renew: RUNNING, complete: DONE })
const NEW: ClaimAnswer = Object.freeze({ status: 'granted', epoch: 1, attempt: 1 })
/** For a record that somebody is inserting or removing, and has not committed. */
const LOCKED: ClaimAnswer = Object.freeze({ status: 'busy', epoch: 0, leaseRemainingMs: 1 })

/** How often entries are asked for again whose record changed under the statement's eyes. */
const ROUNDS_MAX = 5
/** How much of the table one sweep reads at most: 64 steps of 16 MB. The next sweep goes on from there. */
const SWEEP_STEPS_MAX = 64

/** A row of the claim statement. */
interface ClaimRow {
  /** The entry's position, from 1. */
  readonly at: number
  readonly status: 'granted' | 'busy' | 'conflict' | 'done' | 'again' | 'locked'
  readonly epoch: number
  readonly attempt: number | null
  readonly leaseRemainingMs: number
  readonly fingerprint: string | null
  readonly result: string | null
}

interface UpdateRow {
  readonly at: number
  readonly status: UpdateAnswer | 'again'
}

interface RecordRow {
  readonly at: number
  readonly state: typeof FREE | typeof RUNNING | typeof DONE
  readonly epoch: number
  readonly attempts: number
  readonly leaseRemainingMs: number
  readonly expiresInMs: number
  readonly fingerprint: string | null
  readonly label: string | null
  readonly result: string | null
}

/** The protocol's steps on the table, each one statement. */
export class Records {
  readonly #connections: Connections
  readonly #statements: Statements
  readonly #durable: LockedRecords
  readonly #fleeting: LockedRecords
  readonly #random = systemRandom()

  constructor(connections: Connections, statements: Statements) {
    this.#connections = connections
    this.#statements = statements
    this.#durable = this.#claimsBy(statements.durable)
    this.#fleeting = this.#claimsBy(statements.fleeting)
  }

  claim(batch: readonly ClaimRequest[], isDurable: boolean): Promise<readonly ClaimAnswer[]> {
    return (isDurable ? this.#durable : this.#fleeting).claim(batch)
  }

  async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    return resolved(batch, 'ok', await this.#complete(batch), async (entries) => {
      const statement = this.#statements.update(entries.length === 1)
      const found = (await this.#rows(statement, updateValues(entries))) as UpdateRow[]
      return found.map(({ at, status }) => ({
        at,
        isFinal: status !== 'again',
        answer: status === 'again' ? 'lost' : status,
      }))
    })
  }

  async inspect(ids: readonly string[]): Promise<readonly (StoredRecord | undefined)[]> {
    const answers: (StoredRecord | undefined)[] = ids.map(() => undefined)
    const found = (await this.#rows(this.#statements.inspect, [literal(ids)])) as RecordRow[]
    for (const row of found) answers[row.at - 1] = storedRecord(row)
    return answers
  }

  async forget(ids: readonly string[]): Promise<void> {
    await this.#connections.run(this.#statements.forget, [literal(ids)])
  }

  /** Goes round the table once, or until `limit` records are gone, or as far as one sweep may. */
  async sweep(limit: number): Promise<number> {
    let removed = 0
    for (let step = 1; step <= SWEEP_STEPS_MAX && removed < limit; step += 1) {
      const [turn] = (await this.#rows(this.#statements.sweep, [limit - removed])) as SweepRow[]
      if (turn === undefined) break
      removed += turn.gone
      if (step * SWEEP_BLOCKS >= turn.blocks) break
    }
    return removed
  }

  #claimsBy(statements: ClaimStatements): LockedRecords {
    const { claim, claimUnlocked } = statements
    return new LockedRecords({
      usual: async (batch) =>
        resolved(batch, NEW, await this.#insert(statements, batch), (entries) => this.#claim(claim, entries)),
      careful: (batch) =>
        resolved(batch, NEW, [...batch.keys()], (entries) => this.#claimUnlocked(claimUnlocked, entries)),
      isLockTaken,
    })
  }

  /** Claims what is new. Answers the positions of all other entries. */
  async #insert(
    { insert, insertMany }: ClaimStatements,
    batch: readonly ClaimRequest[],
  ): Promise<readonly number[]> {
    const [first] = batch as [ClaimRequest]
    if (batch.length === 1)
      return (await this.#connections.change(insert, insertValues(first))) === 1 ? [] : [0]
    const { leaseMs, retentionMs } = first
    if (!batch.every((request) => request.leaseMs === leaseMs && request.retentionMs === retentionMs))
      return [...batch.keys()]
    const sorted = batch.toSorted(byId)
    const found = await this.#connections.run(insertMany, insertManyValues(sorted))
    return found.map((at) => batch.indexOf(sorted[Number(at) - 1] as ClaimRequest))
  }

  async #claim(
    statement: string,
    batch: readonly ClaimRequest[],
  ): Promise<readonly Exception<ClaimAnswer>[]> {
    const found = (await this.#rows(statement, claimValues(batch))) as ClaimRow[]
    return found.map((row) => ({ at: row.at, isFinal: row.status !== 'again', answer: claimAnswer(row) }))
  }

  /**
   * Claims what nobody has locked. That waits for an insert of the same id alone: where one does not end,
   * pieces of the batch go by themselves, so that the entry that is held up does not hold up the others.
   */
  async #claimUnlocked(
    statement: string,
    batch: readonly ClaimRequest[],
  ): Promise<readonly Exception<ClaimAnswer>[]> {
    const found = new Map<number, Exception<ClaimAnswer>>()
    for (const from of batch.keys()) found.set(from + 1, { at: from + 1, isFinal: true, answer: LOCKED })
    const ask = async (from: number, to: number): Promise<void> => {
      const exceptions = await this.#claim(statement, batch.slice(from, to))
      for (let at = from + 1; at <= to; at += 1) found.delete(at)
      for (const each of exceptions) found.set(from + each.at, { ...each, at: from + each.at })
    }
    await inPieces(batch.length, { ask, isLockTaken, random: this.#random })
    return [...found.values()]
  }

  /** Completes a batch of nothing else. Answers the positions of all entries unless each was completed. */
  async #complete(batch: readonly ClaimUpdate[]): Promise<readonly number[]> {
    const positions = [...batch.keys()]
    const [{ retentionMs }] = batch as [ClaimUpdate]
    const isAlike = (update: ClaimUpdate): update is CompleteUpdate =>
      update.op === 'complete' && update.retentionMs === retentionMs
    if (!batch.every(isAlike)) return positions
    return (await this.#completed(batch)) === batch.length ? [] : positions
  }

  async #completed(batch: readonly CompleteUpdate[]): Promise<number> {
    const { complete, completeMany } = this.#statements
    return batch.length === 1
      ? this.#connections.change(complete, completeValues(batch[0] as CompleteUpdate))
      : this.#connections.change(completeMany, completeManyValues(batch.toSorted(byId)))
  }

  async #rows(statement: string, values: unknown[]): Promise<unknown[]> {
    const rows = await this.#connections.run(statement, values)
    return rows.map((row) => JSON.parse(row) as unknown)
  }
}

interface SweepRow {
  readonly gone: number
  readonly blocks: number
}

interface Exception<Answer> {
  readonly at: number
  readonly isFinal: boolean
  readonly answer: Answer
}

/**
 * The answers to a batch, `usual` but for those at `positions`. Asks for these, of which only the entries
 * are answered that are not `usual` either, and again for those that are not final. An answer that is not
 * final after all rounds is given as it is: it is the careful one.
 */
async function resolved<Entry, Answer>(
  batch: readonly Entry[],
  usual: Answer,
  positions: readonly number[],
  ask: (entries: readonly Entry[]) => Promise<readonly Exception<Answer>[]>,
): Promise<readonly Answer[]> {
  const answers = batch.map(() => usual)
  let open = positions
  for (let round = 1; round <= ROUNDS_MAX && open.length > 0; round += 1) {
    const asked = open
    const exceptions = await ask(asked.map((position) => batch[position] as Entry))
    for (const position of asked) answers[position] = usual
    for (const { at, answer } of exceptions) answers[asked[at - 1] as number] = answer
    open = exceptions.filter(({ isFinal }) => !isFinal).map(({ at }) => asked[at - 1] as number)
  }
  return answers
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : 1
}

function insertValues({ id, claimId, leaseMs, retentionMs, fingerprint, label }: ClaimRequest): unknown[] {
  return [id, claimId, interval(leaseMs), interval(leaseMs + retentionMs), fingerprint, label]
}

function insertManyValues(batch: readonly ClaimRequest[]): unknown[] {
  const [{ leaseMs, retentionMs }] = batch as [ClaimRequest]
  return [
    literal(batch.map(({ id }) => id)),
    literal(batch.map(({ claimId }) => claimId)),
    interval(leaseMs),
    interval(leaseMs + retentionMs),
    literal(orNone(batch.map(({ fingerprint = null }) => fingerprint))),
    orNone(batch.map(({ label = null }) => label)),
  ]
}

function claimValues(batch: readonly ClaimRequest[]): unknown[] {
  return [
    literal(batch.map(({ id }) => id)),
    literal(batch.map(({ claimId }) => claimId)),
    literal(batch.map(({ leaseMs }) => leaseMs)),
    literal(batch.map(({ retentionMs }) => retentionMs)),
    literal(orNone(batch.map(({ fingerprint = null }) => fingerprint))),
    orNone(batch.map(({ label = null }) => label)),
  ]
}

function completeValues({ id, claimId, retentionMs, result }: CompleteUpdate): unknown[] {
  return [id, claimId, interval(retentionMs), result]
}

function completeManyValues(batch: readonly CompleteUpdate[]): unknown[] {
  const [{ retentionMs }] = batch as [CompleteUpdate]
  return [
    literal(batch.map(({ id }) => id)),
    literal(batch.map(({ claimId }) => claimId)),
    interval(retentionMs),
    orNone(batch.map(({ result = null }) => result)),
  ]
}

function updateValues(batch: readonly ClaimUpdate[]): unknown[] {
  return [
    literal(batch.map(({ id }) => id)),
    literal(batch.map(({ claimId }) => claimId)),
    literal(batch.map(({ op }) => STATE_AFTER[op])),
    literal(batch.map((update) => (update.op === 'renew' ? update.leaseMs : 0))),
    literal(batch.map(({ retentionMs }) => retentionMs)),
    literal(orNone(batch.map((update) => (update.op === 'release' ? update.attempts : null)))),
    orNone(batch.map((update) => (update.op === 'complete' ? (update.result ?? null) : null))),
  ]
}

function interval(milliseconds: number): string {
  return `${milliseconds} ms`
}

/** An array of numbers and hexadecimal digits as PostgreSQL writes it; nothing in it needs quotes. */
function literal(values: readonly (string | number | null)[] | null): string | null {
  return values && `{${values.map((value) => value ?? 'NULL').join(',')}}`
}

/** A column of NULLs as no array at all, which unnest() fills up with NULLs and nobody has to read. */
function orNone<Value>(values: (Value | null)[]): (Value | null)[] | null {
  return values.every((value) => value === null) ? null : values
}

/** Before it is final, a claim is answered as busy for a moment: the core asks again. */
function claimAnswer(row: ClaimRow): ClaimAnswer {
  switch (row.status) {
    case 'granted':
      return { status: 'granted', epoch: row.epoch, attempt: row.attempt as number }
    case 'done':
      return { status: 'done', fingerprint: hex(row.fingerprint), result: bytes(row.result) }
    case 'busy':
      return { status: 'busy', epoch: row.epoch, leaseRemainingMs: row.leaseRemainingMs }
    case 'conflict':
      return { status: 'conflict' }
    case 'again':
    case 'locked':
      return { status: 'busy', epoch: row.epoch, leaseRemainingMs: 1 }
  }
}

function storedRecord(row: RecordRow): StoredRecord {
  return {
    state: STATE_NAMES[row.state],
    epoch: row.epoch,
    attempts: row.attempts,
    leaseRemainingMs: row.leaseRemainingMs,
    expiresInMs: row.expiresInMs,
    fingerprint: hex(row.fingerprint),
    label: row.label ?? undefined,
    result: bytes(row.result),
  }
}

function hex(uuid: string | null): string | undefined {
  return uuid?.replaceAll('-', '')
}

function bytes(base64: string | null): Uint8Array | undefined {
  return base64 === null ? undefined : Buffer.from(base64, 'base64')
}
