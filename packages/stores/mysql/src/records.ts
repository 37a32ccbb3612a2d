import type {
  ClaimAnswer,
  ClaimRequest,
  ClaimUpdate,
  Random,
  StoredRecord,
  UpdateAnswer,
} from '@oncemq/core/store'
import { inPieces, isFreshLease, LockedRecords } from '@oncemq/core/store'
import type { MysqlHeader, MysqlRow } from './client.ts'
import type { Connections } from './connection.ts'
import { isLockTaken } from './errors.ts'
import { DONE, FREE, RUNNING, areAlike } from './statements.ts'
import type { Statements } from './statements.ts'

const STATE_NAMES = Object.freeze({ [FREE]: 'free', [RUNNING]: 'running', [DONE]: 'done' } as const)
const NEW: ClaimAnswer = Object.freeze({ status: 'granted', epoch: 1, attempt: 1 })

/** For a record that changes whenever it is looked at. The core asks again. */
const CHANGING = Object.freeze({ status: 'busy', epoch: 0, leaseRemainingMs: 1 } as const)
const ROUNDS_MAX = 5

/** How long a claim waits for a locked record, which is busy then: the rest of its batch waits beside it. */
const CLAIM_WAIT_MAX_MS = 250
/** How long several claims wait once some record is known to be locked, each of many times. */
const PIECE_WAIT_MAX_MS = 50
/** How long updates wait for one, of which the core then sends each half by itself. */
const MANY_WAIT_MAX_MS = 500

/** Statements are kept this short, so that none holds up others for long; a single entry may be longer. */
const STATEMENT_BYTES = 1024 * 1024
/** What an entry takes in a statement beside its result and its label. */
const ENTRY_BYTES = 300
/** A byte is written as two digits. */
const DIGITS = 2
/** The most that a label takes: 256 characters of at most four bytes. */
const LABEL_BYTES = 1024

/** A record, as of the moment at which it was read. */
interface Found {
  readonly state: typeof FREE | typeof RUNNING | typeof DONE
  readonly claimId: string
  readonly epoch: number
  readonly attempts: number
  readonly leaseUntilMs: number
  readonly expiresAtMs: number
  readonly nowMs: number
  readonly fingerprint: string | undefined
  readonly result: Uint8Array | undefined
  readonly label: string | undefined
}

/**
 * The protocol's steps on the table. A batch is one statement, and a second one that reads only if not all
 * went as usual; what is there and may be taken over is claimed by a third. MySQL answers a statement that
 * writes by numbers alone, and does not say what it did to which row.
 */
export class Records {
  readonly #connections: Connections
  readonly #statements: Statements
  readonly #random: Random
  readonly #locked: LockedRecords

  constructor(connections: Connections, statements: Statements, random: Random) {
    this.#connections = connections
    this.#statements = statements
    this.#random = random
    this.#locked = new LockedRecords({
      usual: (batch) => this.#rounds(batch, statements.insert, insertAnswer),
      careful: (batch) => this.#claimUnlocked(batch),
      isLockTaken,
    })
  }

  async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    return this.#locked.claim(batch)
  }

  async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    return inParts(batch, updateBytes, async (part) => {
      const token = this.#random.claimId()
      const { header, rows } = await this.#connections.writeAndRead(this.#updateSql(part, token), {
        ofManyRows: part.length > 1,
        ...(part.length > 1 && { waitMaxMs: MANY_WAIT_MAX_MS }),
        next: (answer) => (isWhole(answer, part) ? undefined : this.#findSql(part)),
      })
      if (isWhole(header, part)) return part.map(() => 'ok')
      const found = recordsOf(rows)
      return part.map((update) => updateAnswer(update, found.get(update.id), token))
    })
  }

  async inspect(ids: readonly string[]): Promise<readonly (StoredRecord | undefined)[]> {
    const found = recordsOf(await this.#connections.read(this.#statements.find(ids)))
    return ids.map((id) => storedRecord(found.get(id)))
  }

  async forget(ids: readonly string[]): Promise<void> {
    await this.#connections.write(this.#statements.forget(ids.toSorted()), { ofManyRows: true })
  }

  /** Claims by the given statement, and once more what changed under its eyes. */
  async #rounds(
    batch: readonly ClaimRequest[],
    sqlOf: (requests: readonly ClaimRequest[]) => string,
    answerOf: typeof claimAnswer,
    waitMaxMs = CLAIM_WAIT_MAX_MS,
  ): Promise<readonly ClaimAnswer[]> {
    let answers = await this.#claim(batch, sqlOf, answerOf, waitMaxMs)
    for (let round = 1; round < ROUNDS_MAX && answers.includes(undefined); round += 1) {
      const open = batch.filter((_, at) => answers[at] === undefined)
      const again = await this.#claim(open, this.#statements.claim, claimAnswer, waitMaxMs)
      const next = again.values()
      answers = answers.map((answer) => answer ?? next.next().value)
    }
    return answers.map((answer) => answer ?? CHANGING)
  }

  /** Claims what nobody has locked. What somebody has is busy, until the server ends his transaction. */
  async #claimUnlocked(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    const ids = batch.map(({ id }) => id)
    const found = recordsOf(await this.#connections.read(this.#statements.find(ids)))
    const rows = await this.#connections.read(this.#statements.lockable(ids), { ofManyRows: true })
    const lockable = new Set(rows.map(([id]) => digits(id)))
    const locked = new Map(
      batch
        .filter(({ id }) => found.has(id) && !lockable.has(id))
        .map((request) => [request, lockedAnswer(request, found.get(request.id))]),
    )
    const open = batch.filter((request) => !locked.has(request))
    const answers = await this.#claimPieces(open.toSorted(byId))
    return batch.map((request) => locked.get(request) ?? answers.get(request) ?? CHANGING)
  }

  /**
   * What is not seen may be locked too: by an insert that is not committed, or with its range,
   * so that the batch is in the order in which it is locked.
   */
  async #claimPieces(batch: readonly ClaimRequest[]): Promise<ReadonlyMap<ClaimRequest, ClaimAnswer>> {
    const answers = new Map<ClaimRequest, ClaimAnswer>()
    const ask = async (from: number, to: number): Promise<void> => {
      const piece = batch.slice(from, to)
      const waitMaxMs = piece.length === 1 ? CLAIM_WAIT_MAX_MS : PIECE_WAIT_MAX_MS
      const found = await this.#rounds(piece, this.#statements.claim, claimAnswer, waitMaxMs)
      for (const [at, request] of piece.entries()) answers.set(request, found[at] ?? CHANGING)
    }
    if (batch.length > 0) await inPieces(batch.length, { ask, isLockTaken, random: this.#random })
    return answers
  }

  /** Answers undefined for a record that is to be claimed once more. */
  async #claim(
    batch: readonly ClaimRequest[],
    sqlOf: (requests: readonly ClaimRequest[]) => string,
    answerOf: typeof claimAnswer,
    waitMaxMs: number,
  ): Promise<readonly (ClaimAnswer | undefined)[]> {
    return inParts(batch, claimBytes, async (part) => {
      const { header, rows } = await this.#connections.writeAndRead(sqlOf(part.toSorted(byId)), {
        ofManyRows: part.length > 1,
        waitMaxMs,
        next: (answer) => (isNew(answer) ? undefined : this.#findSql(part)),
      })
      if (isNew(header)) return part.map(() => NEW)
      const found = recordsOf(rows)
      return part.map((request) => answerOf(request, found.get(request.id)))
    })
  }

  #updateSql(part: readonly ClaimUpdate[], token: string): string {
    const sqlOf = areAlike(part) ? this.#statements.change : this.#statements.update
    return sqlOf(part.toSorted(byId), token)
  }

  #findSql(part: readonly { readonly id: string }[]): string {
    return this.#statements.find(part.map(({ id }) => id))
  }
}

function isNew({ insertId }: MysqlHeader): boolean {
  return Number(insertId) === 0
}

/** Fewer also if a record had these very values and the pool counts changed rows instead of found ones. */
function isWhole({ affectedRows }: MysqlHeader, part: readonly unknown[]): boolean {
  return Number(affectedRows) === part.length
}

function recordsOf(rows: readonly MysqlRow[]): ReadonlyMap<string, Found> {
  return new Map(rows.map((row) => [digits(row[0]) as string, foundOf(row)]))
}

/** Cuts a batch so that statements stay short, and asks for one part after the other. */
async function inParts<Entry, Answer>(
  batch: readonly Entry[],
  bytesOf: (entry: Entry) => number,
  ask: (part: readonly Entry[]) => Promise<readonly Answer[]>,
): Promise<readonly Answer[]> {
  const answers: Answer[] = []
  let part: Entry[] = []
  let bytes = 0
  for (const entry of batch) {
    const more = bytesOf(entry)
    if (part.length > 0 && bytes + more > STATEMENT_BYTES) {
      answers.push(...(await ask(part)))
      part = []
      bytes = 0
    }
    part.push(entry)
    bytes += more
  }
  return part.length === batch.length ? ask(part) : [...answers, ...(await ask(part))]
}

function claimBytes({ label }: ClaimRequest): number {
  return ENTRY_BYTES + (label === undefined ? 0 : DIGITS * Math.min(LABEL_BYTES, label.length * 3))
}

function updateBytes(update: ClaimUpdate): number {
  const result = update.op === 'complete' ? update.result : undefined
  return ENTRY_BYTES + DIGITS * (result?.byteLength ?? 0)
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : 1
}

function foundOf(row: MysqlRow): Found {
  const [, state, claimId, epoch, attempts, leaseUntil, expiresAt, now, fingerprint, result, label] = row
  return {
    state: Number(state) as Found['state'],
    claimId: digits(claimId) as string,
    epoch: Number(epoch),
    attempts: Number(attempts),
    leaseUntilMs: Number(leaseUntil),
    expiresAtMs: Number(expiresAt),
    nowMs: Number(now),
    fingerprint: digits(fingerprint),
    result: result ?? undefined,
    label: label?.toString('utf8'),
  }
}

/** After the insert, which leaves alone what is there. */
function insertAnswer(request: ClaimRequest, found: Found | undefined): ClaimAnswer | undefined {
  const answer = claimAnswer(request, found)
  if (found === undefined || answer?.status !== 'granted') return answer
  return isFreshLease(request.leaseMs, found.leaseUntilMs - found.nowMs) ? answer : undefined
}

/**
 * Undefined if the record could be claimed by now: it was refused for what it was when it was asked for, or
 * a proxy has asked a replica that lags.
 */
function claimAnswer(request: ClaimRequest, found: Found | undefined): ClaimAnswer | undefined {
  if (found === undefined) return undefined
  const { state, epoch, attempts, leaseUntilMs, expiresAtMs, nowMs, fingerprint, result } = found
  if (state === RUNNING && found.claimId === request.claimId) {
    return { status: 'granted', epoch, attempt: attempts }
  }
  const isKnown = fingerprint !== undefined && request.fingerprint !== undefined
  if (isKnown && state !== DONE && expiresAtMs > nowMs && fingerprint !== request.fingerprint) {
    return { status: 'conflict' }
  }
  if (state === RUNNING && leaseUntilMs > nowMs) {
    return { status: 'busy', epoch, leaseRemainingMs: leaseUntilMs - nowMs }
  }
  return state === DONE && expiresAtMs > nowMs ? { status: 'done', fingerprint, result } : undefined
}

/** Of a record that could be claimed, or have its lease renewed, if nobody had locked it. */
function lockedAnswer(request: ClaimRequest, found: Found | undefined): ClaimAnswer {
  const answer = claimAnswer(request, found)
  if (answer !== undefined && answer.status !== 'granted') return answer
  return { ...CHANGING, epoch: found?.epoch ?? 0 }
}

/**
 * By what the record has become. If another claim took over in between, a renewal or a completion that came
 * in time reads as lost: its time was over by then. So does a release, which had been for nothing else.
 */
function updateAnswer({ op, claimId }: ClaimUpdate, found: Found | undefined, token: string): UpdateAnswer {
  switch (op) {
    case 'renew':
      return found?.state === RUNNING && found.claimId === claimId ? 'ok' : 'lost'
    case 'complete':
      return found?.state === DONE && found.claimId === claimId ? 'ok' : 'lost'
    case 'release':
      return found?.state === FREE && found.claimId === token ? 'ok' : 'lost'
  }
}

function storedRecord(found: Found | undefined): StoredRecord | undefined {
  if (found === undefined) return undefined
  const { state, epoch, attempts, leaseUntilMs, expiresAtMs, nowMs, fingerprint, label, result } = found
  return {
    state: STATE_NAMES[state],
    epoch,
    attempts,
    leaseRemainingMs: state === RUNNING ? leaseUntilMs - nowMs : 0,
    expiresInMs: expiresAtMs - nowMs,
    fingerprint,
    label,
    result,
  }
}

function digits(cell: Buffer | null | undefined): string | undefined {
  return cell?.toString('hex')
}
