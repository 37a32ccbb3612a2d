import type {
  ClaimAnswer,
  ClaimRequest,
  ClaimUpdate,
  CompleteUpdate,
  Random,
  StoredRecord,
  UpdateAnswer,
} from '@oncemq/core'
import { StoreError } from '@oncemq/core'
import type { MongoSession } from './client.ts'
import type { Commands } from './commands.ts'
import { SERVER } from './errors.ts'
import type { RecordDocument, UpdateStatement } from './statements.ts'
import {
  DONE,
  FREE,
  RUNNING,
  bytesOf,
  claimStatement,
  recordFields,
  recordsOf,
  updateStatement,
} from './statements.ts'

const STATE_NAMES = Object.freeze({ [FREE]: 'free', [RUNNING]: 'running', [DONE]: 'done' } as const)

// A record may change between the update that leaves it alone and the find that says why, and rarely twice.
const ROUNDS_MAX = 5

// A command is one document, of 16 MiB at most, of which an entry takes less than a kilobyte beside its result.
const PART_BYTES_MAX = 8_388_608

interface Found {
  readonly request: ClaimRequest
  readonly position: number
}

/** The write concern of the store's own commands, as a command has it. */
export interface WriteConcernDocument {
  readonly w: number | string
  readonly j: boolean
}

/** The protocol's steps on the collection. */
export class Records {
  readonly #writeConcern: WriteConcernDocument
  readonly #random: Random

  constructor(writeConcern: WriteConcernDocument, random: Random) {
    this.#writeConcern = writeConcern
    this.#random = random
  }

  async claim(commands: Commands, batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    const answers: ClaimAnswer[] = []
    let open = batch.map((request, position) => ({ request, position }))
    for (let round = 0; round < ROUNDS_MAX && open.length > 0; round += 1) {
      open = await this.#claimRound(commands, open, answers)
    }
    if (open.length === 0) return answers
    throw new StoreError(
      'ONCEMQ_STORE_UNAVAILABLE',
      `MongoStore: expected records of ${commands.where} to hold still, received ${ROUNDS_MAX} changes in a ` +
        `row; the operation is tried again`,
    )
  }

  async update(commands: Commands, batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    const answers: UpdateAnswer[] = []
    for (const part of partsOf(batch)) answers.push(...(await this.#updatePart(commands, part)))
    return answers
  }
  /** Completes in the session's transaction: `ok` if that is to be committed. */
  async completeIn<Session extends MongoSession>(
    session: Session,
    commands: Commands<Session>,
    completion: CompleteUpdate,
  ): Promise<'ok' | 'lost' | 'ok before'> {
    const statement = updateStatement(completion, bytesOf(completion.claimId))
    const command = { update: commands.collection.collectionName, updates: [statement] }
    const { n, writeErrors = [] } = await commands.run(command, session)
    const [failure] = writeErrors
    if (failure !== undefined) throw failure
    if (n === 1) return 'ok'
    const [record] = await commands.find<RecordDocument>(recordsOf([completion.id]), recordFields, session)
    return isApplied(completion, record, '') ? 'ok before' : 'lost'
  }

  async inspect(commands: Commands, ids: readonly string[]): Promise<readonly (StoredRecord | undefined)[]> {
    const records = await this.#find(commands, ids)
    return ids.map((id) => shown(records.get(id)))
  }

  async forget(commands: Commands, ids: readonly string[]): Promise<void> {
    await commands.run({
      delete: commands.collection.collectionName,
      deletes: [{ q: recordsOf(ids), limit: 0 }],
      writeConcern: this.#writeConcern,
    })
  }

  /** Fills in the answers that are known, and gives back what has to be asked again. */
  async #claimRound(commands: Commands, open: readonly Found[], answers: ClaimAnswer[]): Promise<Found[]> {
    const statements = open.map(({ request }) => claimStatement(request))
    const { created } = await this.#write(commands, statements)
    const rest: Found[] = []
    for (const [index, entry] of open.entries()) {
      if (created.has(index)) answers[entry.position] = { status: 'granted', epoch: 1, attempt: 1 }
      else rest.push(entry)
    }
    if (rest.length === 0) return rest
    const records = await this.#find(
      commands,
      rest.map(({ request }) => request.id),
    )
    return rest.filter(({ request, position }) => {
      const answer = claimAnswer(request, records.get(request.id))
      if (answer !== undefined) answers[position] = answer
      return answer === undefined
    })
  }

  async #updatePart(commands: Commands, part: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    const mark = this.#random.claimId()
    const markBytes = bytesOf(mark)
    const { n } = await this.#write(
      commands,
      part.map((update) => updateStatement(update, markBytes)),
    )
    if (n === part.length) return part.map(() => 'ok')
    const records = await this.#find(
      commands,
      part.map(({ id }) => id),
    )
    return part.map((update) => (isApplied(update, records.get(update.id), mark) ? 'ok' : 'lost'))
  }

  async #write(
    commands: Commands,
    statements: readonly UpdateStatement[],
  ): Promise<{ n: number | undefined; created: ReadonlySet<number> }> {
    const { n, upserted, writeErrors } = await commands.run({
      update: commands.collection.collectionName,
      updates: statements,
      ordered: false,
      writeConcern: this.#writeConcern,
    })
    // Another claim has created the record in the same moment.
    const failure = writeErrors?.find(({ code }) => code !== SERVER.DuplicateKey)
    if (failure !== undefined) throw failure
    return { n, created: new Set(upserted?.map(({ index }) => index)) }
  }

  async #find(commands: Commands, ids: readonly string[]): Promise<ReadonlyMap<string, RecordDocument>> {
    const found = await commands.find<RecordDocument>(recordsOf(ids), recordFields)
    return new Map(found.map((record) => [hexOf(record._id), record]))
  }
}

/** Cuts a batch where its results would not fit into one command. */
function partsOf(batch: readonly ClaimUpdate[]): readonly (readonly ClaimUpdate[])[] {
  const parts: ClaimUpdate[][] = [[]]
  let bytes = 0
  for (const update of batch) {
    const size = update.op === 'complete' ? (update.result?.byteLength ?? 0) : 0
    if (bytes + size > PART_BYTES_MAX) {
      parts.push([])
      bytes = 0
    }
    bytes += size
    parts.at(-1)?.push(update)
  }
  return parts.filter((part) => part.length > 0)
}

/** `undefined` when the record has changed since, so that it may be granted now. */
function claimAnswer(request: ClaimRequest, record: RecordDocument | undefined): ClaimAnswer | undefined {
  if (record === undefined) return undefined
  const { state, epoch, attempts, leaseRemainingMs, expiresInMs } = record
  if (state === RUNNING && hexOf(record.claimId) === request.claimId) {
    return { status: 'granted', epoch, attempt: attempts }
  }
  if (state === RUNNING && leaseRemainingMs > 0) return { status: 'busy', epoch, leaseRemainingMs }
  if (state !== DONE || expiresInMs <= 0) return undefined
  return { status: 'done', fingerprint: hexOrNone(record.fingerprint), result: record.result }
}

/** Whether the record is as this update leaves it, or as an earlier one of the same completion has left it. */
function isApplied(update: ClaimUpdate, record: RecordDocument | undefined, mark: string): boolean {
  if (record === undefined) return false
  const { state } = record
  const owner = hexOf(record.claimId)
  switch (update.op) {
    case 'renew':
      return state === RUNNING && owner === update.claimId
    case 'complete':
      return state === DONE && owner === update.claimId
    case 'release':
      return state === FREE && owner === mark
  }
}

function shown(record: RecordDocument | undefined): StoredRecord | undefined {
  if (record === undefined) return undefined
  const { state, epoch, attempts, leaseRemainingMs, expiresInMs, fingerprint, label, result } = record
  return {
    state: STATE_NAMES[state],
    epoch,
    attempts,
    leaseRemainingMs: state === RUNNING ? leaseRemainingMs : 0,
    expiresInMs,
    fingerprint: hexOrNone(fingerprint),
    label,
    result,
  }
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

function hexOrNone(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : hexOf(bytes)
}
