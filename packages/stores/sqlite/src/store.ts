import type { DatabaseSync } from 'node:sqlite'
import type {
  ClaimAnswer,
  ClaimRequest,
  ClaimUpdate,
  CompleteUpdate,
  Finding,
  StoreGuarantees,
  StoredRecord,
  SweepingStore,
  UpdateAnswer,
} from '@oncemq/core/store'
import type { TransactionalStore } from '@oncemq/core'
import { StoreError } from '@oncemq/core/store'
import { connect, nameOf } from './connection.ts'
import { storeError } from './errors.ts'
import { whenFree } from './lock.ts'
import type { Settings, SqliteStoreOptions } from './options.ts'
import { settingsOf } from './options.ts'
import { Records } from './records.ts'
import { schemaSql } from './schema.ts'
import { Transactions } from './transaction.ts'
import { verify } from './verify.ts'

/** What `open()` makes and `close()` ends. */
interface Session {
  readonly database: DatabaseSync
  readonly records: Records
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
export class SqliteStore implements TransactionalStore<DatabaseSync>, SweepingStore {
  readonly name = 'sqlite'
  readonly guarantees: StoreGuarantees
  readonly batching = Object.freeze({ batchMax: 512, batchesInFlightMax: 1 })
  readonly #settings: Settings
  #opening: Promise<Session> | undefined
  #session: Session | undefined

  constructor(options: SqliteStoreOptions) {
    this.#settings = settingsOf(options)
    const durable = !isInMemory(this.#settings.source)
    this.guarantees = Object.freeze({
      durable,
      sharedBy: durable ? 'machine' : 'process',
      transactional: true,
      renewsInTransaction: true,
      expiryGranularityMs: 1,
    })
  }

  /** The tables that `open()` creates where they are missing, as SQL, for teams that create them by hand. */
  schema(): string {
    return schemaSql(this.#settings.table)
  }

  async open(): Promise<readonly Finding[]> {
    const opening = (this.#opening ??= this.#connect())
    try {
      const session = await opening
      // It may have been closed meanwhile.
      if (this.#opening === opening) this.#session = session
      return session.findings
    } catch (error) {
      if (this.#opening === opening) this.#opening = undefined
      throw storeError(error, nameOf(this.#settings))
    }
  }

  async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    const { records, transactions } = this.#opened()
    return transactions.write(() => {
      const nowMs = records.nowMs()
      return batch.map((request) => records.claim(request, nowMs))
    })
  }

  async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    const { records, transactions } = this.#opened()
    return transactions.write(() => {
      const nowMs = records.nowMs()
      return batch.map((update) => records.update(update, nowMs))
    })
  }

  async inspect(ids: readonly string[]): Promise<readonly (StoredRecord | undefined)[]> {
    const { records } = this.#opened()
    const read = () => {
      const nowMs = records.nowMs()
      return ids.map((id) => records.inspect(id, nowMs))
    }
    try {
      return await whenFree(read, this.#settings)
    } catch (error) {
      throw storeError(error, nameOf(this.#settings))
    }
  }

  async forget(ids: readonly string[]): Promise<void> {
    const { records, transactions } = this.#opened()
    return transactions.write(() => ids.forEach((id) => records.forget(id)))
  }

  async sweep(limit: number): Promise<number> {
    const { records, transactions } = this.#opened()
    return transactions.write(() => records.sweep(limit, records.nowMs()))
  }

  /**
   * Runs `work` with a connection on which a transaction is open, for which all other writes of this file
   * wait: keep it short, and write with `tx` alone. Transactions of one store run one after the other.
   */
  async transaction(work: (tx: DatabaseSync) => Promise<CompleteUpdate>): Promise<UpdateAnswer> {
    const { records, transactions } = this.#opened()
    return transactions.handle({
      work,
      finish: (completion) => {
        // The repetition of a transaction whose commit was not known: the first run's writes are there, so
        // that this run's must not be.
        if (records.isCompleted(completion)) return { answer: 'ok', commit: false }
        const answer = records.update(completion, records.nowMs())
        return { answer, commit: answer === 'ok' }
      },
    })
  }

  async close(): Promise<void> {
    const opening = this.#opening
    this.#opening = undefined
    this.#session = undefined
    const session = await opening?.catch(() => undefined)
    await session?.transactions.drained()
    if (session !== undefined) this.#release(session.database)
  }

  async #connect(): Promise<Session> {
    const database = await connect(this.#settings)
    try {
      const records = new Records(database, this.#settings.table)
      const transactions = new Transactions(database, nameOf(this.#settings), this.#settings)
      return { database, records, transactions, findings: verify(database) }
    } catch (error) {
      this.#release(database)
      throw error
    }
  }

  #release(database: DatabaseSync): void {
    if ('path' in this.#settings.source && database.isOpen) database.close()
  }

  #opened(): Session {
    if (this.#session !== undefined) return this.#session
    throw new StoreError(
      'ONCEMQ_CLOSED',
      'SqliteStore: expected an open store, received one that is not; await open() before its use',
    )
  }
}

function isInMemory(source: Settings['source']): boolean {
  if ('path' in source) return source.path === ':memory:'
  return source.database.isOpen && source.database.location() === null
}
