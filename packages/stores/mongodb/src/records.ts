import type {
  ClaimAnswer,
  ClaimRequest,
  ClaimUpdate,
  CompleteUpdate,
  Random,
  StoredRecord,
  UpdateAnswer,
} from '@oncemq/core/store'
import { storeError } from '@oncemq/core/store'
import { claimAnswer, hexOf, isOwn, ownAnswer, shown, updateAnswer } from './answers.ts'
import type { MongoSession } from './client.ts'
import type { Commands, OperationTime } from './commands.ts'
import { STORE, foreignError, heldError, isHeld, isOutOfTime } from './errors.ts'
import type { RecordDocument, UpdateStatement } from './statements.ts'
import {
  DONE,
  FREE,
  RUNNING,
  bytesOf,
  claimStatement,
  createCommand,
  recordFields,
  recordsOf,
  updateStatements,
} from './statements.ts'

// A record may change between the update that leaves it alone and the find that says why, and rarely twice.
const ROUNDS_MAX = 6

// A command is one document, of 16 MiB at most, of which an entry takes less than a kilobyte beside its
// result.
const PART_BYTES_MAX = 8_388_608

// To take a record over takes milliseconds, unless a transaction holds it; then it is asked for again.
const TAKE_MAX_MS = 1000
const TAKE_HELD_MAX_MS = 50
const HELD_MS = 1000

const UNAWAITED: WriteConcernDocument = Object.freeze({ w: 1, j: false })

type ClaimRound = readonly (ClaimAnswer | undefined)[]

/** An entry of a batch that has no answer yet. */
interface Open<Entry> {
  readonly entry: Entry
  readonly position: number
}

/** The write concern of the store's own commands, as a command has it. */
export interface WriteConcernDocument {
  readonly w: number | string
  readonly j: boolean
}

/**
 * The protocol's steps on the collection. Whatever a command does not tell of an entry by itself, one `find`
 * tells for all of them; so a batch of new keys takes one round trip, and one with duplicates two.
 */
export class Records {
  readonly #writeConcern: WriteConcernDocument
  readonly #random: Random
  /** Whether the last batch met a known key, which makes the server create each of its records once more. */
  #looksFirst = false
  #claimedAt: OperationTime | undefined

  constructor(writeConcern: WriteConcernDocument, random: Random) {
    this.#writeConcern = writeConcern
    this.#random = random
  }

  /**
   * What need not be durable is created without waiting for the disk and for a majority. To take over a
   * record waits all the same, since what a majority does not have yet cannot be read.
   * @throws StoreError that `isHeld` knows when a transaction holds one of the records to be taken over.
   */
  async claim(
    commands: Commands,
    batch: readonly ClaimRequest[],
    isDurable: boolean,
  ): Promise<readonly ClaimAnswer[]> {
    const writeConcern = isDurable ? this.#writeConcern : UNAWAITED
    // Most keys are new, and to create a record takes half of the server's time.
    const create = (requests: readonly ClaimRequest[]) => this.#create(commands, requests, writeConcern)
    const look = (requests: readonly ClaimRequest[]) => this.#look(commands, requests)
    const first = this.#looksFirst && batch.length > 1 ? [look, create] : [create]
    return inRounds(commands, batch, async (requests, round) => {
      const step = first[round]
      return step === undefined ? this.#take(commands, requests) : step(requests)
    })
  }

  /** The same beside such a record: each is taken over by itself, or is busy a moment later. */
  async claimBesideHeld(commands: Commands, batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    const look = (requests: readonly ClaimRequest[]) => this.#look(commands, requests)
    const create = (requests: readonly ClaimRequest[]) => this.#create(commands, requests, this.#writeConcern)
    const take = async (requests: readonly ClaimRequest[]) =>
      (await Promise.all(requests.map((request) => this.#takeOne(commands, request)))).flat()
    return inRounds(commands, batch, (requests, round) => ([look, create][round] ?? take)(requests))
  }

  /**
   * When the last record was created for whose majority nobody has waited. A transaction that begins earlier
   * may not see it: the moment that it reads may lie before a write that was under way beside it.
   */
  get claimedAt(): OperationTime | undefined {
    return this.#claimedAt
  }

  async update(commands: Commands, batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    const mark = this.#random.claimId()
    const answers: UpdateAnswer[] = []
    for (const part of partsOf(batch)) {
      const answered = await inRounds(commands, part, async (updates) => {
        const statements = updateStatements(updates, bytesOf(mark))
        const { n } = await commands.run(this.#updateCommand(commands, statements))
        if (n === updates.length) return updates.map(() => 'ok' as const)
        const records = await this.#find(commands, idsOf(updates))
        return updates.map((update) => updateAnswer(update, records.get(update.id), mark))
      })
      answers.push(...answered)
    }
    return answers
  }

  /**
   * Completes in the session's transaction. `ok`: it is to be committed. `ok before`: an earlier
   * transaction of this claim was. `undefined`: that one's outcome is not known to a majority yet.
   */
  async completeIn<Session extends MongoSession>(
    session: Session,
    commands: Commands<Session>,
    completion: CompleteUpdate,
  ): Promise<'ok' | 'lost' | 'ok before' | undefined> {
    const updates = updateStatements([completion], bytesOf(completion.claimId))
    const { n } = await commands.run({ update: commands.collection.collectionName, updates }, { session })
    if (n === 1) return 'ok'
    // What a transaction reads may be rolled back if it does not commit itself, so that is not asked in it.
    const records = await this.#find(commands, [completion.id])
    const answer = updateAnswer(completion, records.get(completion.id), '')
    return answer === 'ok' ? 'ok before' : answer
  }

  async inspect(commands: Commands, ids: readonly string[]): Promise<readonly (StoredRecord | undefined)[]> {
    const records = await this.#find(commands, ids)
    return ids.map((id) => {
      const record = records.get(id)
      return record === undefined ? undefined : shown(record)
    })
  }

  async forget(commands: Commands, ids: readonly string[]): Promise<void> {
    await commands.run({
      delete: commands.collection.collectionName,
      deletes: [{ q: recordsOf(ids), limit: 0 }],
      writeConcern: this.#writeConcern,
    })
  }

  #noteClaim(time: OperationTime | undefined): void {
    if (time === undefined) return
    if (this.#claimedAt === undefined || time.greaterThan(this.#claimedAt)) this.#claimedAt = time
  }

  async #create(
    commands: Commands,
    requests: readonly ClaimRequest[],
    writeConcern: WriteConcernDocument,
  ): Promise<ClaimRound> {
    const command = createCommand(requests, commands.collection.collectionName)
    const reply = await commands.create({ ...command, writeConcern })
    if (reply === undefined) return this.#look(commands, requests)
    if (writeConcern === UNAWAITED) this.#noteClaim(reply.operationTime)
    return requests.map(() => granted(1, 1))
  }

  /** Answers what can be told without a write. */
  async #look(commands: Commands, requests: readonly ClaimRequest[]): Promise<ClaimRound> {
    const records = await this.#find(commands, idsOf(requests))
    this.#looksFirst = false
    return requests.map((request) => {
      const record = records.get(request.id)
      if (record === undefined) return undefined
      if (isOwn(request, record)) return ownAnswer(request, record)
      this.#looksFirst = true
      return claimAnswer(request, record)
    })
  }

  /**
   * Takes records over. One may be held by a transaction whose process has ended, which the server keeps open
   * for a minute: that must not be the neighbours' failure.
   */
  async #take(commands: Commands, requests: readonly ClaimRequest[]): Promise<ClaimRound> {
    const created = await this.#upsert(commands, requests.map(claimStatement), {
      waitMaxMs: TAKE_MAX_MS,
      writeConcern: this.#writeConcern,
    })
    const records = await this.#find(commands, idsOf(requests))
    return requests.map((request, at) => {
      if (created.has(at)) return granted(1, 1)
      const record = records.get(request.id)
      if (record === undefined) return undefined
      const { epoch, attempts } = record
      return isOwn(request, record) ? granted(epoch, attempts) : claimAnswer(request, record)
    })
  }

  /** Looks first whether it can be, without waiting for a majority: that a claim is repeated does no harm. */
  async #takeOne(commands: Commands, request: ClaimRequest): Promise<ClaimRound> {
    try {
      const briefly = { waitMaxMs: TAKE_HELD_MAX_MS, writeConcern: UNAWAITED }
      await this.#upsert(commands, [claimStatement(request)], briefly)
      return await this.#take(commands, [request])
    } catch (error) {
      if (!isHeld(error)) throw error
      const [record] = await commands.find<RecordDocument>(recordsOf([request.id]), recordFields)
      return [{ status: 'busy', epoch: record?.epoch ?? 0, leaseRemainingMs: HELD_MS }]
    }
  }

  /** Answers which entries created their records. */
  async #upsert(
    commands: Commands,
    updates: readonly UpdateStatement[],
    { waitMaxMs, writeConcern }: { waitMaxMs: number; writeConcern: WriteConcernDocument },
  ): Promise<ReadonlySet<number>> {
    const command = { ...this.#updateCommand(commands, updates), writeConcern }
    try {
      const { upserted } = await commands.run(command, { waitMaxMs })
      return new Set(upserted?.map(({ index }) => index))
    } catch (error) {
      throw isOutOfTime(error) ? heldError(error, commands.where) : error
    }
  }

  #updateCommand({ collection }: Commands, updates: readonly UpdateStatement[]): object {
    const writeConcern = this.#writeConcern
    return { update: collection.collectionName, updates, ordered: false, writeConcern }
  }

  async #find<Session extends MongoSession>(
    commands: Commands<Session>,
    ids: readonly string[],
  ): Promise<ReadonlyMap<string, RecordDocument>> {
    const found = await commands.find<RecordDocument>(recordsOf(ids), recordFields)
    if (!found.every(isRecord)) throw foreignError(commands.where)
    return new Map(found.map((record) => [hexOf(record._id), record]))
  }
}

/** Asks for the entries of a batch until each has an answer, and gives the answers in the batch's order. */
async function inRounds<Entry, Answer>(
  commands: Commands,
  batch: readonly Entry[],
  ask: (entries: readonly Entry[], round: number) => Promise<readonly (Answer | undefined)[]>,
): Promise<readonly Answer[]> {
  const answers: Answer[] = []
  let open: readonly Open<Entry>[] = batch.map((entry, position) => ({ entry, position }))
  for (let round = 0; round < ROUNDS_MAX && open.length > 0; round += 1) {
    const asked = await ask(
      open.map(({ entry }) => entry),
      round,
    )
    open = open.filter(({ position }, at) => {
      const answer = asked[at]
      if (answer !== undefined) answers[position] = answer
      return answer === undefined
    })
  }
  if (open.length === 0) return answers
  throw storeError({ store: STORE, expected: `records of ${commands.where} to hold still` }, [
    'ONCEMQ_STORE_UNAVAILABLE',
    `received ${ROUNDS_MAX} changes in a row`,
    'the operation is tried again',
  ])
}

/** Cuts a batch where its results would not fit into one command. */
function partsOf(batch: readonly ClaimUpdate[]): readonly (readonly ClaimUpdate[])[] {
  const parts: ClaimUpdate[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const update of batch) {
    const size = update.op === 'complete' ? (update.result?.byteLength ?? 0) : 0
    if (bytes + size > PART_BYTES_MAX) {
      parts.push([])
      bytes = 0
    }
    bytes += size
    parts.at(-1)?.push(update)
  }
  return parts
}

/** What stands in a record's place may be somebody else's. */
function isRecord({ state, claimId, epoch, expiresInMs }: RecordDocument): boolean {
  const isState = state === FREE || state === RUNNING || state === DONE
  return isState && claimId instanceof Uint8Array && Number.isFinite(epoch) && Number.isFinite(expiresInMs)
}

function granted(epoch: number, attempt: number): ClaimAnswer {
  return { status: 'granted', epoch, attempt }
}

function idsOf(entries: readonly { readonly id: string }[]): readonly string[] {
  return entries.map(({ id }) => id)
}
