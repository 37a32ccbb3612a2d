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
  StoreBatching,
  StoreGuarantees,
  StoredRecord,
  SweepingStore,
  TransactionEnd,
  UniqueKey,
  UpdateAnswer,
} from '@oncemq/core/store'
import { LifeCycle, throughOrm } from '@oncemq/core/store'
import type { PgClient, PostgresClient } from './client.ts'
import { Logs, logStatementsOf } from './logs.ts'
import { connect, nameOf } from './connection.ts'
import type { Connections } from './connection.ts'
import { PostgresUniqueKey } from './duplicate-key.ts'
import { storeError } from './errors.ts'
import type { PostgresStoreOptions, Settings } from './options.ts'
import { finishOf } from './finish.ts'
import { settingsOf } from './options.ts'
import { Records } from './records.ts'
import { ensureSchema, schemaSql } from './schema.ts'
import { Transactions } from './transaction.ts'
import { PostgresStateTable } from './state-table.ts'
import { lockWaitsOf } from './lock-waits.ts'
import { statementsOf, tablesOf } from './statements.ts'
import { readSchema, verify } from './verify.ts'

const BATCHING: StoreBatching = {
  batchMax: 512,
  batchesInFlightMax: 2,
  batchMin: 128,
  light: { callsMax: 8, entriesMin: 4, entriesPerMs: 8 },
}

/** What `open()` makes and `close()` ends. */
interface Opened<Client extends PostgresClient> {
  readonly connections: Connections
  readonly records: Records
  readonly logs: Logs
  readonly transactions: Transactions<Client>
  readonly findings: readonly Finding[]
  readonly end: () => Promise<void>
}

/** What `pg` answers to a statement without rows. */
const NO_ROWS = Object.freeze({ command: '', rowCount: 0, rows: [], fields: [] })
const EMPTY = Object.freeze({ calledBack: NO_ROWS, promised: NO_ROWS })

/**
 * Keeps records in a table of PostgreSQL, beside the data of your own: with `strategy: 'transactional'` a
 * handler's writes and the record commit together. Any number of machines may share the table. Works through
 * PgBouncer in transaction mode.
 * @throws OptionError when an option has a value that it cannot have.
 * @example
 * const pool = new pg.Pool({ max: 12 })
 * const dedup = createDeduplicator({ store: new PostgresStore({ pool }), consumerGroup: 'billing' })
 */
export class PostgresStore<Client extends PostgresClient = PgClient, Tx = Client>
  implements BatchingStore<Tx>, KeyedStore<Tx>, StateStore<Tx>, LogStore<Tx>, SweepingStore
{
  readonly name = 'postgres'
  readonly guarantees: StoreGuarantees
  readonly batching: StoreBatching
  readonly #settings: Settings<Client, Tx>
  readonly #life: LifeCycle<Opened<Client>>

  constructor(options: PostgresStoreOptions<Client, Tx>) {
    this.#settings = settingsOf(options)
    const { transactionsMax: transactionsInFlightMax } = this.#settings
    this.batching = Object.freeze({ ...BATCHING, transactionsInFlightMax })
    this.#life = new LifeCycle({
      name: 'PostgresStore',
      connect: () => this.#connect(),
      end: async ({ transactions, end }) => {
        await transactions.drained()
        await end()
      },
    })
    this.guarantees = Object.freeze({
      durable: true,
      sharedBy: 'network',
      transactional: true,
      renewsInTransaction: this.#settings.isolation === 'read committed',
      // A completion has to see what was claimed after the batch had begun.
      batchesTransactions:
        this.#settings.isolation === 'read committed' && this.#settings.transactions === undefined
          ? 'savepoints'
          : undefined,
      expiryGranularityMs: 1,
    })
  }

  /** The tables that `open()` creates where they are missing, as SQL, for teams that create them by hand. */
  schema(): string {
    return schemaSql(this.#settings.table)
  }

  async open(): Promise<readonly Finding[]> {
    try {
      return (await this.#life.open()).findings
    } catch (error) {
      throw storeError(error, nameOf(this.#settings))
    }
  }

  async claim(
    batch: readonly ClaimRequest[],
    { isDurable = true }: ClaimOptions = {},
  ): Promise<readonly ClaimAnswer[]> {
    return this.#with(({ records }) => records.claim(batch, isDurable))
  }

  async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    return this.#with(({ records }) => records.update(batch))
  }

  async inspect(ids: readonly string[]): Promise<readonly (StoredRecord | undefined)[]> {
    return this.#with(({ records }) => records.inspect(ids))
  }

  async forget(ids: readonly string[]): Promise<void> {
    return this.#with(({ records }) => records.forget(ids))
  }

  async sweep(limit: number): Promise<number> {
    return this.#with(({ records }) => records.sweep(limit))
  }

  /**
   * Runs `work` with a connection on which a transaction is open, or with the transaction object of the ORM
   * that writes by it. Leave BEGIN, COMMIT, ROLLBACK and `release`
   * to the store; SAVEPOINT is yours. At most `transactionsMax` run at a time, further ones wait.
   */
  async transaction(
    work: (tx: Tx) => Promise<TransactionEnd | undefined>,
    signal?: AbortSignal,
  ): Promise<UpdateAnswer> {
    const { transactions } = this.#life.opened
    const { transactions: orm } = this.#settings
    return throughOrm(orm, work, EMPTY, (lent) => transactions.handle(lent, signal))
  }

  /** Handles what `next` gives in one transaction, each inside a savepoint. Not with those of an ORM. */
  transactions(next: NextMember<Tx>): Promise<void> {
    return this.#life.opened.transactions.handleTogether(next as unknown as NextMember<Client>)
  }

  uniqueKey(name: string): UniqueKey<Tx> {
    return new PostgresUniqueKey<Tx>(() => this.#life.opened.connections, name)
  }

  stateTable(names: StateTableNames): StateTable<Tx> {
    return new PostgresStateTable<Tx>(() => this.#life.opened.connections, names)
  }

  async takeLog(log: LogRequest): Promise<LogTaken> {
    return this.#with(({ logs }) => logs.take(log))
  }

  async updateLog(update: LogUpdate): Promise<UpdateAnswer> {
    return this.#with(({ logs }) => logs.update(update))
  }

  async close(): Promise<void> {
    await this.#life.close()
  }

  async #connect(): Promise<Opened<Client>> {
    const { pool, connections, end } = await connect(this.#settings)
    try {
      const plain = connections as unknown as Connections
      await ensureSchema(plain, this.#settings)
      const findings = await verify(plain, pool, this.#settings)
      await plain.learnProcesses()
      const { table } = this.#settings
      const tables = tablesOf(table, await readSchema(plain, table))
      const waits = lockWaitsOf(this.#settings)
      const records = new Records(plain, statementsOf(tables, waits))
      const logs = new Logs(plain, logStatementsOf(tables, waits))
      const transactions = new Transactions(connections, finishOf(tables, waits), this.#settings)
      return { connections: plain, records, logs, transactions, findings, end }
    } catch (error) {
      await end()
      throw error
    }
  }

  async #with<Answer>(step: (opened: Opened<Client>) => Promise<Answer>): Promise<Answer> {
    const { opened } = this.#life
    try {
      return await step(opened)
    } catch (error) {
      throw storeError(error, nameOf(this.#settings))
    }
  }
}
