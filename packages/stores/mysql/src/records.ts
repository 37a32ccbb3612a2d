import type { ClaimAnswer, ClaimRequest, ClaimUpdate, Random, StoredRecord, UpdateAnswer } from '@oncemq/core'
import type { MysqlRow } from './client.ts'
import type { Connections } from './connection.ts'
import { DONE, FREE, RUNNING } from './statements.ts'
import type { Statements } from './statements.ts'

const STATE_NAMES = Object.freeze({ [FREE]: 'free', [RUNNING]: 'running', [DONE]: 'done' } as const)
const NEW: ClaimAnswer = Object.freeze({ status: 'granted', epoch: 1, attempt: 1 })

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
 * went as usual: MySQL answers a statement that writes by numbers alone, and does not say what it did to
 * which row.
 */
export class Records {
  readonly #connections: Connections
  readonly #statements: Statements
  readonly #random: Random

  constructor(connections: Connections, statements: Statements, random: Random) {
    this.#connections = connections
    this.#statements = statements
    this.#random = random
  }

  async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    if (batch.length === 1 && (await this.#isNew(this.#statements.insert(batch[0] as ClaimRequest)))) {
      return [NEW]
    }
    return inParts(batch, claimBytes, async (part) => {
      const statement = this.#statements.claim(part.toSorted(byId))
      if (await this.#isNew(statement, part.length)) return part.map(() => NEW)
      const found = await this.#find(part.map(({ id }) => id))
      return part.map((request) => claimAnswer(request, found.get(request.id)))
    })
  }

  async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    return inParts(batch, updateBytes, async (part) => {
      const token = this.#random.claimId()
      const [lone] = part as [ClaimUpdate]
      const { affectedRows } =
        part.length === 1
          ? await this.#connections.write(this.#statements.change(lone, token))
          : await this.#connections.write(this.#statements.update(part.toSorted(byId), token), MANY)
      // Fewer also if a record had these very values and the pool counts changed rows instead of found ones.
      if (Number(affectedRows) === part.length) return part.map(() => 'ok')
      const found = await this.#find(part.map(({ id }) => id))
      return part.map((update) => updateAnswer(update, found.get(update.id), token))
    })
  }

  async inspect(ids: readonly string[]): Promise<readonly (StoredRecord | undefined)[]> {
    const found = await this.#find(ids)
    return ids.map((id) => storedRecord(found.get(id)))
  }

  async forget(ids: readonly string[]): Promise<void> {
    await this.#connections.write(this.#statements.forget(ids.toSorted()), MANY)
  }

  async #isNew(statement: string, rows = 1): Promise<boolean> {
    const { insertId } = await this.#connections.write(statement, { ofManyRows: rows > 1 })
    return Number(insertId) === 0
  }

  async #find(ids: readonly string[]): Promise<ReadonlyMap<string, Found>> {
    const rows = await this.#connections.read(this.#statements.find(ids))
    return new Map(rows.map((row) => [digits(row[0]) as string, foundOf(row)]))
  }
}

const MANY = Object.freeze({ ofManyRows: true })

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

/**
 * Not granted and not there, or free, or over: it changed between the two statements, and the claim was
 * refused for what it was. The core asks again.
 */
function claimAnswer({ claimId }: ClaimRequest, found: Found | undefined): ClaimAnswer {
  if (found === undefined) return { status: 'busy', epoch: 0, leaseRemainingMs: 1 }
  const { state, epoch, attempts, leaseUntilMs, nowMs, fingerprint, result } = found
  if (state === RUNNING && found.claimId === claimId) return { status: 'granted', epoch, attempt: attempts }
  if (state === DONE) return { status: 'done', fingerprint, result }
  return { status: 'busy', epoch, leaseRemainingMs: Math.max(1, leaseUntilMs - nowMs) }
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
