import type {
  BatchingStore,
  ClaimAnswer,
  ClaimOptions,
  ClaimRequest,
  ClaimUpdate,
  CompleteUpdate,
  Finding,
  KeyedStore,
  NextMember,
  StateStore,
  StateTable,
  StateTableNames,
  StoreGuarantees,
  StoredRecord,
  UniqueKey,
  UpdateAnswer,
} from '@oncemq/core/store'
import { LifeCycle, LockedRecords, storeError, throughOrm } from '@oncemq/core/store'
import type { StoreError } from '@oncemq/core/store'
import type { DriverSession, MongoCollection, MongoSession } from './client.ts'
import type { Commands } from './commands.ts'
import { nameOf, withCommands } from './commands.ts'
import { connect } from './connection.ts'
import type { Connection } from './connection.ts'
import { MongoUniqueKey } from './duplicate-key.ts'
import { STORE, asStoreError, isHeld } from './errors.ts'
import type { MongoStoreOptions, Settings } from './options.ts'
import { settingsOf } from './options.ts'
import type { WriteConcernDocument } from './records.ts'
import { Records } from './records.ts'
import { ensureSchema, schemaCommands } from './schema.ts'
import { MongoStateTable, runIn } from './state-table.ts'
import type { Topology } from './topology.ts'
import { readTopology } from './topology.ts'
import { commitBatch, commitTogether } from './transaction.ts'
import { verify } from './verify.ts'

// An index on a collection that is full already takes its time.
const OPEN_TIMEOUT_MS = 25_000

/** What `open()` makes and `close()` ends. */
interface Opened<Session extends MongoSession> extends Connection<Session> {
  readonly records: Records
  readonly writeConcern: WriteConcernDocument
  readonly topology: Topology
  readonly findings: readonly Finding[]
}

/**
 * Keeps records in a collection of MongoDB 6 or later, by the package `mongodb`. All machines that connect
 * share them. Expired records are removed by the server itself.
 *
 * Every write waits until a majority of the members has it on the disk, so speed comes from batches: whatever
 * is asked for while one batch is on its way goes with the next.
 * @throws OptionError when an option has a value that it cannot have.
 * @example
 * const store = new MongoStore({ collection: client.db('shop').collection('oncemq') })
 * const dedup = createDeduplicator({ store, consumerGroup: 'billing' })
 */
export class MongoStore<Session extends MongoSession = DriverSession, Tx = Session>
  implements BatchingStore<Tx>, KeyedStore<Tx>, StateStore<Tx>
{
  readonly name = 'mongodb'
  readonly guarantees: StoreGuarantees
  readonly batching = Object.freeze({
    batchMax: 512,
    batchesInFlightMax: 2,
    batchMin: 128,
    light: { callsMax: 8, entriesMin: 4, entriesPerMs: 4 },
  })
  readonly #settings: Settings<Session, Tx>
  readonly #durable = this.#claims(true)
  readonly #fleeting = this.#claims(false)
  readonly #transactions = new Set<Promise<unknown>>()
  readonly #life: LifeCycle<Opened<Session>>

  constructor(options: MongoStoreOptions<Session, Tx>) {
    this.#settings = settingsOf(options)
    this.guarantees = Object.freeze({
      durable: true,
      sharedBy: 'network',
      transactional: true,
      renewsInTransaction: false,
      batchesTransactions: this.#settings.transactions === undefined ? 'whole' : undefined,
      expiryGranularityMs: 1,
    })
    this.#life = new LifeCycle({
      name: STORE,
      connect: () => this.#connect(),
      end: async (opened) => {
        await Promise.allSettled(this.#transactions)
        await opened.close()
      },
    })
  }

  /**
   * What `open()` creates where it is missing, as commands for mongosh, for teams that create it by hand. The
   * second one notes the version.
   */
  schema(): string {
    const { source } = this.#settings
    const name = 'collection' in source ? source.collection.collectionName : source.name
    const lines = schemaCommands(name).map((command) => `db.runCommand(${JSON.stringify(command)})\n`)
    return lines.join('')
  }

  async open(): Promise<readonly Finding[]> {
    return (await this.#life.open()).findings
  }

  async claim(
    batch: readonly ClaimRequest[],
    { isDurable = true }: ClaimOptions = {},
  ): Promise<readonly ClaimAnswer[]> {
    return (isDurable ? this.#durable : this.#fleeting).claim(batch)
  }

  async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    return this.#call(({ records }, commands) => records.update(commands, batch))
  }

  async inspect(ids: readonly string[]): Promise<readonly (StoredRecord | undefined)[]> {
    return this.#call(({ records }, commands) => records.inspect(commands, ids))
  }

  async forget(ids: readonly string[]): Promise<void> {
    return this.#call(({ records }, commands) => records.forget(commands, ids))
  }

  /**
   * Runs `work` with a session in which a transaction is open: give it to each of your writes, as
   * `{ session: tx }`; it ends with `work`. Transactions overlap; of two that write the same document one is
   * run again.
   *
   * `work` has to end within `leaseMs`: MongoDB runs a transaction on the data as they were at its start,
   * where a renewal of the lease meanwhile would be a conflict.
   */
  async transaction(
    work: (tx: Tx) => Promise<CompleteUpdate | undefined>,
    signal?: AbortSignal,
  ): Promise<UpdateAnswer> {
    const opened = this.#life.opened
    if (opened.topology.isStandalone) throw noTransactions(opened.collection)
    const { transactions: orm } = this.#settings
    const run = (lent: (tx: Session) => Promise<CompleteUpdate | undefined>): Promise<UpdateAnswer> =>
      commitTogether({ ...opened, ...this.#settings }, lent, signal)
    return this.#running(throughOrm(orm, work, undefined, run))
  }

  /**
   * Handles what `next` gives in one transaction, which one that fails takes back for all. Not with those of
   * Mongoose.
   */
  async transactions(next: NextMember<Tx>): Promise<void> {
    const opened = this.#life.opened
    if (opened.topology.isStandalone) throw noTransactions(opened.collection)
    const members = next as unknown as NextMember<Session>
    return this.#running(commitBatch({ ...opened, ...this.#settings }, members))
  }

  uniqueKey(name: string): UniqueKey<Tx> {
    return new MongoUniqueKey<Session>(
      (command) => this.#call((_opened, commands) => commands.run(command)),
      () => this.#life.opened.collection.db.databaseName,
      name,
    )
  }

  stateTable(names: StateTableNames): StateTable<Tx> {
    const run = (command: object, session?: Session) =>
      this.#call((_opened, commands) => runIn(commands, command, session))
    return new MongoStateTable<Session, Tx>(run, names)
  }

  async close(): Promise<void> {
    await this.#life.close()
  }

  /** Close waits for it. */
  async #running<Answer>(running: Promise<Answer>): Promise<Answer> {
    this.#transactions.add(running)
    try {
      return await running
    } finally {
      this.#transactions.delete(running)
    }
  }

  #claims(isDurable: boolean): LockedRecords {
    return new LockedRecords({
      usual: (batch) => this.#call(({ records }, commands) => records.claim(commands, batch, isDurable)),
      careful: (batch) => this.#call(({ records }, commands) => records.claimBesideHeld(commands, batch)),
      isLockTaken: isHeld,
    })
  }

  async #connect(): Promise<Opened<Session>> {
    let connection: Connection<Session> | undefined
    try {
      connection = await connect(this.#settings)
      const { clock } = this.#settings
      const bound = { clock, timeoutMs: OPEN_TIMEOUT_MS }
      return await withCommands(connection.collection, bound, (commands) =>
        this.#prepare(connection as Connection<Session>, commands),
      )
    } catch (error) {
      await connection?.close()
      throw asStoreError(error, connection === undefined ? 'the server' : nameOf(connection.collection))
    }
  }

  async #prepare(connection: Connection<Session>, commands: Commands<Session>): Promise<Opened<Session>> {
    const { createSchema, random } = this.#settings
    const topology = await readTopology(commands)
    const indexes = await ensureSchema(commands, createSchema)
    const { writeConcern: given } = connection.collection
    const findings = verify({ ...topology, indexes, writeConcern: given })
    const writeConcern = { w: given?.w ?? 'majority', j: given?.journal ?? true }
    const records = new Records(writeConcern, random)
    return { ...connection, records, writeConcern, topology, findings }
  }

  async #call<Answer>(
    work: (opened: Opened<Session>, commands: Commands<Session>) => Promise<Answer>,
  ): Promise<Answer> {
    const opened = this.#life.opened
    const { clock, timeoutMs } = this.#settings
    return withCommands(opened.collection, { clock, timeoutMs }, (commands) => work(opened, commands))
  }
}

function noTransactions(collection: MongoCollection): StoreError {
  return storeError({ store: STORE, expected: `${nameOf(collection)} on a replica set` }, [
    'ONCEMQ_STORE_REFUSED',
    'received a standalone server, which has no transactions',
    "start mongod with --replSet and run rs.initiate(), or use strategy 'lease'",
  ])
}
