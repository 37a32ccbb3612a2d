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
import { claimAnswer, hexOf, isOwn, shown, updateAnswer } from './answers.ts'
import type { MongoSession } from './client.ts'
import type { Commands } from './commands.ts'
import type { RecordDocument, UpdateStatement } from './statements.ts'
import {
  bytesOf,
  claimStatement,
  createStatement,
  recordFields,
  recordsOf,
  updateStatements,
} from './statements.ts'

// A record may change between the update that leaves it alone and the find that says why, and rarely twice.
const ROUNDS_MAX = 6

// A command is one document, of 16 MiB at most, of which an entry takes less than a kilobyte beside its result.
const PART_BYTES_MAX = 8_388_608

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

  constructor(writeConcern: WriteConcernDocument, random: Random) {
    this.#writeConcern = writeConcern
    this.#random = random
  }

  async claim(commands: Commands, batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    return inRounds(commands, batch, async (requests, round) => {
      // Most keys are new, and to create a record is the smaller statement.
      const statementOf = round === 0 ? createStatement : claimStatement
      const { created } = await this.#write(commands, requests.map(statementOf))
      const answers = requests.map((_, at) => (created.has(at) ? granted(1, 1) : undefined))
      if (created.size === requests.length) return answers
      const others = requests.filter((_, at) => !created.has(at))
      const records = await this.#find(commands, idsOf(others))
      return answers.map((answer, at) => {
        const request = requests[at] as ClaimRequest
        const record = records.get(request.id)
        if (answer !== undefined || record === undefined) return answer
        if (!isOwn(request, record)) return claimAnswer(record)
        // In the first round the record was there before: an earlier run of this claim has its lease renewed.
        return round === 0 ? undefined : granted(record.epoch, record.attempts)
      })
    })
  }

  async update(commands: Commands, batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    const mark = this.#random.claimId()
    const answers: UpdateAnswer[] = []
    for (const part of partsOf(batch)) {
      const answered = await inRounds(commands, part, async (updates) => {
        const { n } = await this.#write(commands, updateStatements(updates, bytesOf(mark)))
        if (n === updates.length) return updates.map(() => 'ok' as const)
        const records = await this.#find(commands, idsOf(updates))
        return updates.map((update) => updateAnswer(update, records.get(update.id), mark))
      })
      answers.push(...answered)
    }
    return answers
  }

  /** Completes in the session's transaction: `ok` if that is to be committed. */
  async completeIn<Session extends MongoSession>(
    session: Session,
    commands: Commands<Session>,
    completion: CompleteUpdate,
  ): Promise<'ok' | 'lost' | 'ok before'> {
    const updates = updateStatements([completion], bytesOf(completion.claimId))
    const { n } = await commands.run({ update: commands.collection.collectionName, updates }, session)
    if (n === 1) return 'ok'
    const [record] = await commands.find<RecordDocument>(recordsOf([completion.id]), recordFields, session)
    return updateAnswer(completion, record, '') === 'ok' ? 'ok before' : 'lost'
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

  async #write(
    commands: Commands,
    updates: readonly UpdateStatement[],
  ): Promise<{ n: number | undefined; created: ReadonlySet<number> }> {
    const { n, upserted } = await commands.run({
      update: commands.collection.collectionName,
      updates,
      ordered: false,
      writeConcern: this.#writeConcern,
    })
    return { n, created: new Set(upserted?.map(({ index }) => index)) }
  }

  async #find(commands: Commands, ids: readonly string[]): Promise<ReadonlyMap<string, RecordDocument>> {
    const found = await commands.find<RecordDocument>(recordsOf(ids), recordFields)
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
  throw new StoreError(
    'ONCEMQ_STORE_UNAVAILABLE',
    `MongoStore: expected records of ${commands.where} to hold still, received ${ROUNDS_MAX} changes in a ` +
      `row; the operation is tried again`,
  )
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

function granted(epoch: number, attempt: number): ClaimAnswer {
  return { status: 'granted', epoch, attempt }
}

function idsOf(entries: readonly { readonly id: string }[]): readonly string[] {
  return entries.map(({ id }) => id)
}
