import type { Finding, RowId, StateTable, StateTableNames } from '@oncemq/core/store'
import { connectionOf, printable, storeError } from '@oncemq/core/store'
import type { MongoSession } from './client.ts'
import type { Commands, Reply } from './commands.ts'
import { isNamespaceMissing, STORE } from './errors.ts'

/** Runs a command, in a session where it is part of a transaction. */
export type Run<Session> = (command: object, session?: Session) => Promise<Reply>

interface IndexReply {
  readonly cursor?: { readonly firstBatch: readonly { readonly key?: Readonly<Record<string, unknown>> }[] }
}

/**
 * Moves documents of a collection from state to state: see the contract's `StateTable`. A transaction reads
 * the data as they were at its start; an update of what another one has changed since is a conflict, after
 * which the whole is run again. So what is read here is old at worst for a document that this one does not
 * move.
 */
export class MongoStateTable<Session extends MongoSession, Tx> implements StateTable<Tx> {
  readonly #run: Run<Session>
  readonly #names: StateTableNames

  constructor(run: Run<Session>, names: StateTableNames) {
    this.#run = run
    this.#names = names
  }

  async check(): Promise<readonly Finding[]> {
    const { table, id } = this.#names
    try {
      const { cursor } = (await this.#run({ listIndexes: table, cursor: { batchSize: 1000 } })) as IndexReply
      const isIndexed = cursor?.firstBatch.some(({ key = {} }) => Object.keys(key)[0] === id)
      return isIndexed === true ? [] : [noIndex(this.#names)]
    } catch (error) {
      if (!isNamespaceMissing(error)) throw error
      throw storeError({ store: STORE, expected: `a collection ${printable(table)}`, cause: error }, [
        'ONCEMQ_TABLE_UNFIT',
        'there is none',
        'correct the name, or create it',
      ])
    }
  }

  async move(
    tx: Tx,
    { id, from, to }: { readonly id: RowId; readonly from: readonly string[]; readonly to: string },
  ) {
    const { table, id: idField, state } = this.#names
    const q = { [idField]: { $eq: id }, [state]: { $in: [...from] } }
    const { n = 0 } = await this.#run(
      { update: table, updates: [{ q, u: { $set: { [state]: to } } }] },
      connectionOf<Session>(tx),
    )
    return n > 0 ? 'moved' : 'not-moved'
  }

  async read(tx: Tx, id: RowId): Promise<string | undefined> {
    const { table, id: idField, state } = this.#names
    const filter = { [idField]: { $eq: id } }
    const { cursor } = await this.#run(
      { find: table, filter, projection: { [state]: 1 }, limit: 1 },
      connectionOf<Session>(tx),
    )
    const [document] = (cursor?.firstBatch ?? []) as readonly Readonly<Record<string, unknown>>[]
    if (document === undefined) return undefined
    const value = document[state]
    return typeof value === 'string' ? value : ''
  }
}

/** Runs commands in a session as the handler's own are: their errors are those of its transaction. */
export function runIn<Session extends MongoSession>(
  commands: Commands<Session>,
  command: object,
  session: Session | undefined,
): Promise<Reply> {
  return session === undefined ? commands.run(command) : commands.run(command, { session })
}

function noIndex({ table, id }: StateTableNames): Finding {
  return {
    severity: 'warning',
    code: 'state-index-missing',
    found: `No index of ${table} begins with ${id}, so that each message reads the whole collection.`,
    remedy: `Create it: createIndex({ ${id}: 1 }).`,
  }
}
