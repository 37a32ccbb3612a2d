import type {
  BatchingStore,
  ClaimAnswer,
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
import type { Mysql2Connection, MysqlConnection } from './client.ts'
import { connect, nameOf } from './connection.ts'
import type { Connections } from './connection.ts'
import { dialectOf } from './dialect.ts'
import { Logs, logStatementsOf } from './logs.ts'
import { MysqlUniqueKey } from './duplicate-key.ts'
import { storeError } from './errors.ts'
import type { MysqlStoreOptions, Settings } from './options.ts'
import { settingsOf } from './options.ts'
import { frameOf } from './frame.ts'
import { Records } from './records.ts'
import { ensureSchema, schemaSql } from './schema.ts'
import { MysqlStateTable } from './state-table.ts'
import { statementsOf, tablesOf } from './statements.ts'
import { Sweep } from './sweep.ts'
import { Transactions } from './transaction.ts'
import { readDatabase, readVariables, verify } from './verify.ts'

const BATCHING: StoreBatching = {
  batchMax: 512,
  batchesInFlightMax: 2,
  batchMin: 128,
  light: { callsMax: 8, entriesMin: 4, entriesPerMs: 8 },
}

/** What `open()` makes and `close()` ends. */
interface Opened<Connection extends MysqlConnection> {
  readonly connections: Connections
  readonly records: Records
  readonly logs: Logs
  readonly sweep: Sweep
  readonly transactions: Transactions<Connection>
  readonly findings: readonly Finding[]
  readonly end: () => Promise<void>
}

/** What `mysql2` answers to a statement without rows. */
const NO_ROWS = Object.freeze({ affectedRows: 0, insertId: 0, warningStatus: 0 })
const EMPTY = Object.freeze({ calledBack: NO_ROWS, promised: [NO_ROWS, undefined] })

/**
 * Keeps records in a table of MySQL or MariaDB, beside the data of your own: with `strategy: 'transactional'`
 * a handler's writes and the record commit together. Any number of machines may share the table.
 * @throws OptionError when an option has a value that it cannot have.
 * @example
 * const pool = mysql.createPool({ uri: 'mysql://shop@db/shop', connectionLimit: 12 })
 * const dedup = createDeduplicator({ store: new MysqlStore({ pool }), consumerGroup: 'billing' })
 */
export class MysqlStore<Connection extends MysqlConnection = Mysql2Connection, Tx = Connection>
  implements BatchingStore<Tx>, KeyedStore<Tx>, StateStore<Tx>, LogStore<Tx>, SweepingStore
{
  readonly name = 'mysql'
  readonly batching: StoreBatching
  readonly #settings: Settings<Connection, Tx>
  readonly #life: LifeCycle<Opened<Connection>>
  #hasSnapshots = false

  constructor(options: MysqlStoreOptions<Connection, Tx>) {
    this.#settings = settingsOf(options)
    const { transactionsMax: transactionsInFlightMax } = this.#settings
    this.batching = Object.freeze({ ...BATCHING, transactionsInFlightMax })
    this.#life = new LifeCycle({
      name: 'MysqlStore',
      connect: () => this.#connect(),
      end: async ({ transactions, end }) => {
        await transactions.drained()
        await end()
      },
    })
  }

  /** Whether it renews in a transaction depends on the server, and is known once it is open. */
  get guarantees(): StoreGuarantees {
    return {
      durable: true,
      sharedBy: 'network',
      transactional: true,
      renewsInTransaction: !this.#hasSnapshots,
      // A completion has to see what was claimed after the batch had begun.
      batchesTransactions:
        this.#settings.isolation === 'read committed' && this.#settings.transactions === undefined
          ? 'savepoints'
          : undefined,
      expiryGranularityMs: 1,
    }
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

  async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    return this.#with(({ records }) => records.claim(batch))
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
    return this.#with(({ sweep }) => sweep.run(limit))
  }

  /**
   * Runs `work` with a connection on which a transaction is open, or with the transaction object of the ORM
   * that writes by it. Leave START TRANSACTION, COMMIT, ROLLBACK and `release` to the store, and keep
   * statements that commit by themselves out of it (CREATE, ALTER, DROP, TRUNCATE, LOCK TABLES ...);
   * SAVEPOINT is yours. At most `transactionsMax` run at a time, further ones wait.
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
    return this.#life.opened.transactions.handleTogether(next as unknown as NextMember<Connection>)
  }

  uniqueKey(name: string): UniqueKey<Tx> {
    return new MysqlUniqueKey<Tx>(() => this.#life.opened.connections, name)
  }

  stateTable(names: StateTableNames): StateTable<Tx> {
    return new MysqlStateTable<Tx>(() => this.#life.opened.connections, names)
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

  async #connect(): Promise<Opened<Connection>> {
    const { pool, connections, end } = await connect(this.#settings)
    try {
      const plain = connections as unknown as Connections
      const settings = this.#settings as unknown as Settings
      const variables = await readVariables(plain)
      connections.packetMaxBytes = Number(variables.max_allowed_packet)
      this.#hasSnapshots =
        settings.isolation !== 'read committed' && variables.innodb_snapshot_isolation === 'ON'
      const tables = tablesOf(settings.table, await readDatabase(plain))
      const statements = statementsOf(tables, dialectOf(variables.version ?? ''))
      const logs = logStatementsOf(tables)
      await connections.learnThreads()
      await ensureSchema(plain, settings)
      await connections.write(statements.probe())
      return {
        connections: plain,
        records: new Records(plain, statements, settings.random),
        logs: new Logs(plain, logs),
        sweep: new Sweep(plain, statements, settings.random),
        transactions: new Transactions(
          connections,
          { ...statements, logs },
          frameOf(this.#settings, variables, pool),
        ),
        findings: await verify(plain, pool, variables, settings),
        end,
      }
    } catch (error) {
      await end()
      throw error
    }
  }

  async #with<Answer>(step: (opened: Opened<Connection>) => Promise<Answer>): Promise<Answer> {
    const { opened } = this.#life
    try {
      return await step(opened)
    } catch (error) {
      throw storeError(error, nameOf(this.#settings))
    }
  }
}
