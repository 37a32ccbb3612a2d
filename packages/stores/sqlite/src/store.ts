import type { DatabaseSync } from 'node:sqlite'
import type {
  BatchingStore,
  ClaimAnswer,
  ClaimOptions,
  ClaimRequest,
  ClaimUpdate,
  Finding,
  KeyedStore,
  LogRequest,
  LogStore,
  LogTaken,
  LogUpdate,
  NextMember,
  StateStore,
  StateTable,
  StateTableNames,
  StoreGuarantees,
  StoredRecord,
  SweepingStore,
  TransactionEnd,
  UniqueKey,
  UpdateAnswer,
} from '@oncemq/core/store'
import { LifeCycle, partsOf } from '@oncemq/core/store'
import { connect, nameOf } from './connection.ts'
import { SqliteUniqueKey } from './duplicate-key.ts'
import { asStoreError, STORE } from './errors.ts'
import { whenFree } from './lock.ts'
import { Logs } from './logs.ts'
import type { Settings, SqliteStoreOptions } from './options.ts'
import { settingsOf } from './options.ts'
import { Records } from './records.ts'
import { schemaSql } from './schema.ts'
import { SqliteStateTable } from './state-table.ts'
import type { Finish } from './transaction.ts'
import { Transactions } from './transaction.ts'
import { verify } from './verify.ts'

const COMMITTED = Object.freeze({ answer: 'ok', commit: true } as const)
const REPEATED = Object.freeze({ answer: 'ok', commit: false } as const)
const LOST = Object.freeze({ answer: 'lost', commit: false } as const)

/** What `open()` makes and `close()` ends. */
interface Opened {
  readonly database: DatabaseSync
  readonly records: Records
  readonly logs: Logs
  readonly transactions: Transactions
  readonly findings: readonly Finding[]
}

/**
 * Keeps records in an SQLite file, by the `node:sqlite` that comes with Node: no server and nothing to
 * compile. All processes of one machine may share the file; it must not lie on a network filesystem.
 *
 * SQLite works in the calling thread. A commit waits for the disk, so speed comes from batches: whatever is
 * asked for at the same moment is committed together.
 * @throws OptionError when an option has a value that it cannot have.
 * @example
 * const store = new SqliteStore({ path: 'oncemq.db' })
 * const dedup = createDeduplicator({ store, consumerGroup: 'billing' })
 */
export class SqliteStore
  implements
    BatchingStore<DatabaseSync>,
    KeyedStore<DatabaseSync>,
    StateStore<DatabaseSync>,
    LogStore<DatabaseSync>,
    SweepingStore
{
  readonly name = 'sqlite'
  readonly guarantees: StoreGuarantees
  readonly batching = Object.freeze({ batchMax: 512, batchesInFlightMax: 1 })
  readonly #settings: Settings
  readonly #life: LifeCycle<Opened>

  constructor(options: SqliteStoreOptions) {
    this.#settings = settingsOf(options)
    this.#life = new LifeCycle({
      name: STORE,
      connect: () => this.#connect(),
      end: async ({ transactions, database }) => {
        await transactions.drained()
        this.#release(database)
      },
    })
    const durable = !isInMemory(this.#settings.source)
    this.guarantees = Object.freeze({
      durable,
      sharedBy: durable ? 'machine' : 'process',
      transactional: true,
      renewsInTransaction: true,
      batchesTransactions: 'savepoints',
      expiryGranularityMs: 1,
    })
  }

  /** The tables that `open()` creates where they are missing, as SQL, for teams that create them by hand. */
  schema(): string {
    return schemaSql(this.#settings.table)
  }

  async open(): Promise<readonly Finding[]> {
    return (await this.#life.open()).findings
  }

  async claim(
    batch: readonly ClaimRequest[],
    { isDurable }: ClaimOptions = {},
  ): Promise<readonly ClaimAnswer[]> {
    const { records, transactions } = this.#life.opened
    return transactions.write(() => {
      const nowMs = records.nowMs()
      return batch.map((request) => records.claim(request, nowMs))
    }, isDurable)
  }

  async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    const { records, transactions } = this.#life.opened
    return transactions.write(() => {
      const nowMs = records.nowMs()
      return batch.map((update) => records.update(update, nowMs))
    })
  }

  async inspect(ids: readonly string[]): Promise<readonly (StoredRecord | undefined)[]> {
    const { records } = this.#life.opened
    const read = () => {
      const nowMs = records.nowMs()
      return ids.map((id) => records.inspect(id, nowMs))
    }
    try {
      return await whenFree(read, this.#settings)
    } catch (error) {
      throw asStoreError(error, nameOf(this.#settings))
    }
  }

  async forget(ids: readonly string[]): Promise<void> {
    const { records, transactions } = this.#life.opened
    return transactions.write(() => ids.forEach((id) => records.forget(id)))
  }

  async sweep(limit: number): Promise<number> {
    const { records, transactions } = this.#life.opened
    return transactions.write(() => records.sweep(limit, records.nowMs()))
  }

  /**
   * Runs `work` with a connection on which a transaction is open, for which all other writes of this file
   * wait: keep it short, and write with `tx` alone, which ends with it. Transactions of one store run one
   * after the other.
   */
  async transaction(
    work: (tx: DatabaseSync) => Promise<TransactionEnd | undefined>,
    signal?: AbortSignal,
  ): Promise<UpdateAnswer> {
    const { opened } = this.#life
    return opened.transactions.handle({ work, signal, finish: (end) => finished(opened, end) })
  }

  /** Handles what `next` gives in one transaction, each inside a savepoint. */
  transactions(next: NextMember<DatabaseSync>): Promise<void> {
    const { opened } = this.#life
    const isDone = (end: TransactionEnd): boolean => {
      const { completion } = partsOf(end)
      return completion !== undefined && opened.records.isCompleted(completion)
    }
    return opened.transactions.handleTogether(next, { finish: (end) => finished(opened, end), isDone })
  }

  uniqueKey(name: string): UniqueKey<DatabaseSync> {
    return new SqliteUniqueKey((ask) => whenFree(() => ask(this.#life.opened.database), this.#settings), name)
  }

  stateTable(names: StateTableNames): StateTable<DatabaseSync> {
    return new SqliteStateTable(() => this.#life.opened.database, names)
  }

  async takeLog(log: LogRequest): Promise<LogTaken> {
    const { logs, transactions } = this.#life.opened
    return transactions.write(() => logs.take(log))
  }

  async updateLog(update: LogUpdate): Promise<UpdateAnswer> {
    const { logs, transactions } = this.#life.opened
    return transactions.write(() => logs.update(update))
  }

  async close(): Promise<void> {
    await this.#life.close()
  }

  async #connect(): Promise<Opened> {
    let database: DatabaseSync | undefined
    try {
      database = await connect(this.#settings)
      const records = new Records(database, this.#settings.table)
      const logs = new Logs(database, this.#settings.table)
      const transactions = new Transactions(database, nameOf(this.#settings), this.#settings)
      return { database, records, logs, transactions, findings: verify(database) }
    } catch (error) {
      if (database !== undefined) this.#release(database)
      throw asStoreError(error, nameOf(this.#settings))
    }
  }

  #release(database: DatabaseSync): void {
    if ('path' in this.#settings.source && database.isOpen) database.close()
  }
}

function isInMemory(source: Settings['source']): boolean {
  if ('path' in source) return source.path === ':memory:'
  return source.database.isOpen && source.database.location() === null
}

/** Also of a store that is being closed. */
function finished({ records, logs }: Opened, end: TransactionEnd | undefined): Finish {
  const { completion, advance } = partsOf(end)
  // The repetition of a transaction whose commit was not known: the first run's writes are there, so
  // that this run's must not be.
  if (completion !== undefined && records.isCompleted(completion)) return REPEATED
  if (advance !== undefined && logs.isAt(advance)) return REPEATED
  const done = completion === undefined ? 'ok' : records.update(completion, records.nowMs())
  const moved = advance === undefined ? 'ok' : logs.update(advance)
  return done === 'ok' && moved === 'ok' ? COMMITTED : LOST
}
