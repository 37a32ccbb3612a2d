import { storeError } from '@oncemq/core/store'
import type { Clock, StoreError } from '@oncemq/core/store'
import type { MongoCollection, MongoSession } from './client.ts'
import { SERVER, STORE, WriteFailure, asStoreError, isDuplicateKey } from './errors.ts'

/** What the store reads of a command's answer. */
export interface Reply {
  /** How many records an `update` or `delete` matched or created. */
  readonly n?: number
  /** The entries that created a record. */
  readonly upserted?: readonly { readonly index: number }[]
  readonly cursor?: { readonly firstBatch: readonly object[] }
  /** Of a replica set: which moment of it the reply is of. */
  readonly operationTime?: OperationTime
}

/** A `Timestamp` of the driver. */
export interface OperationTime {
  greaterThan(other: OperationTime): boolean
}

interface WrittenReply extends Reply {
  readonly writeErrors?: readonly { readonly code: number }[]
}

interface Running<Session> {
  /** The session whose transaction the command is part of. */
  readonly session?: Session
  /** For a step that may have to wait: how long it may take. Never more than a quarter of the call's time. */
  readonly waitMaxMs?: number
}

/** How many steps that may have to wait the time of one call is for. */
const STEPS_MAX = 4

/** How records come back, whatever the client is set to. */
const DECODING = Object.freeze({
  raw: false,
  promoteValues: true,
  promoteLongs: true,
  promoteBuffers: true,
  useBigInt64: false,
})

/**
 * The commands of one call of the store, which share one bound in time: the server is told by `maxTimeMS`,
 * and the connection is closed when it does not keep to that.
 */
export class Commands<Session extends MongoSession = MongoSession> {
  readonly collection: MongoCollection<Session>
  /** Names the collection in errors. */
  readonly where: string
  readonly #timeoutMs: number
  readonly #signal: AbortSignal

  constructor(collection: MongoCollection<Session>, timeoutMs: number, signal: AbortSignal) {
    this.collection = collection
    this.where = nameOf(collection)
    this.#timeoutMs = timeoutMs
    this.#signal = signal
  }

  /**
   * A duplicate key is no failure: of two upserts of one id that meet, one finds the other's record.
   * @throws WriteFailure for any other entry that the server did not take.
   */
  async run(command: object, { session, waitMaxMs }: Running<Session> = {}): Promise<Reply> {
    const timeMs = this.#timeoutMs
    const maxTimeMS = waitMaxMs === undefined ? timeMs : Math.ceil(Math.min(waitMaxMs, timeMs / STEPS_MAX))
    const bounded = { ...command, maxTimeMS }
    const options = { ...this.#options(), ...(session === undefined ? {} : { session }) }
    const reply: WrittenReply = await this.collection.db.command(bounded, options)
    const failure = reply.writeErrors?.find(({ code }) => code !== SERVER.DuplicateKey)
    if (failure !== undefined) throw new WriteFailure(failure)
    return reply
  }

  /** Runs a command that creates records. `undefined` if one of them was there already. */
  async create(command: object): Promise<Reply | undefined> {
    try {
      return await this.run(command)
    } catch (error) {
      if (isDuplicateKey(error)) return undefined
      throw error
    }
  }

  /**
   * Reads from the primary what a majority has: a record that is answered as done may not be rolled back by
   * an election.
   */
  async find<Found>(filter: object, projection: object): Promise<readonly Found[]> {
    const readConcern = { level: 'majority' }
    const options = { ...this.#options(), readConcern, projection, maxTimeMS: this.#timeoutMs }
    return (await this.collection.find(filter, options).toArray()) as readonly Found[]
  }

  #options(): object {
    return { ...DECODING, readPreference: 'primary', signal: this.#signal }
  }
}

/**
 * Runs `work` for `timeoutMs` at most, and makes a {@link StoreError} of what it throws.
 */
export async function withCommands<Session extends MongoSession, Answer>(
  collection: MongoCollection<Session>,
  { clock, timeoutMs }: { clock: Clock; timeoutMs: number },
  work: (commands: Commands<Session>) => Promise<Answer>,
): Promise<Answer> {
  const controller = new AbortController()
  const timer = clock.after(timeoutMs, () => controller.abort(timeout(nameOf(collection), timeoutMs)))
  try {
    return await work(new Commands(collection, timeoutMs, controller.signal))
  } catch (error) {
    throw asStoreError(controller.signal.aborted ? controller.signal.reason : error, nameOf(collection))
  } finally {
    timer.cancel()
  }
}

export function nameOf({ collectionName, db }: MongoCollection): string {
  return `the collection ${db.databaseName}.${collectionName}`
}

function timeout(where: string, timeoutMs: number): StoreError {
  return storeError({ store: STORE, expected: `an answer of ${where} within ${timeoutMs} ms` }, [
    'ONCEMQ_STORE_TIMEOUT',
    'received none',
    'look at the server and the network, or raise timeoutMs',
  ])
}
