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
import type { MysqlConnection } from './client.ts'
import { connect, nameOf } from './connection.ts'
import type { Connections } from './connection.ts'
import { dialectOf } from './dialect.ts'
import { storeError } from './errors.ts'
import type { MysqlStoreOptions, Settings } from './options.ts'
import { settingsOf } from './options.ts'
import { Records } from './records.ts'
import { ensureSchema, schemaSql } from './schema.ts'
import { statementsOf, tablesOf } from './statements.ts'
import { Sweep } from './sweep.ts'
import { Transactions } from './transaction.ts'
import { readVariables, verify } from './verify.ts'

/** What `open()` makes and `close()` ends. */
interface Session<Connection extends MysqlConnection> {
  readonly records: Records
  readonly sweep: Sweep
  readonly transactions: Transactions<Connection>
  readonly findings: readonly Finding[]
  readonly end: () => Promise<void>
}

/**
 * Keeps records in a table of MySQL or MariaDB, beside the data of your own: with `strategy: 'transactional'`
 * a handler's writes and the record commit together. Any number of machines may share the table.
 * @throws OptionError when an option has a value that it cannot have.
 * @example
 * const pool = mysql.createPool({ uri: 'mysql://shop@db/shop', connectionLimit: 12 })
 * const dedup = createDeduplicator({ store: new MysqlStore({ pool }), consumerGroup: 'billing' })
 */
export class MysqlStore<Connection extends MysqlConnection = MysqlConnection>
  implements TransactionalStore<Connection>, SweepingStore
{
  readonly name = 'mysql'
  readonly guarantees: StoreGuarantees = Object.freeze({
    durable: true,
    sharedBy: 'network',
    transactional: true,
    renewsInTransaction: true,
    expiryGranularityMs: 1,
  })
  readonly batching = Object.freeze({ batchMax: 512, batchesInFlightMax: 2, batchMin: 128 })
  readonly #settings: Settings<Connection>
  #opening: Promise<Session<Connection>> | undefined
  #session: Session<Connection> | undefined

  constructor(options: MysqlStoreOptions<Connection>) {
    this.#settings = settingsOf(options)
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
      throw storeError(error, nameOf(this.#settings as unknown as Settings))
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
   * Runs `work` with a connection on which a transaction is open. Leave START TRANSACTION, COMMIT, ROLLBACK
   * and `release` to the store, and keep statements that commit by themselves out of it (CREATE, ALTER, DROP,
   * TRUNCATE, LOCK TABLES ...); SAVEPOINT is yours. At most `transactionsMax` run at a time, further ones
   * wait.
   */
  async transaction(work: (tx: Connection) => Promise<CompleteUpdate>): Promise<UpdateAnswer> {
    return this.#opened().transactions.handle(work)
  }

  async close(): Promise<void> {
    const opening = this.#opening
    this.#opening = undefined
    this.#session = undefined
    const session = await opening?.catch(() => undefined)
    await session?.transactions.drained()
    await session?.end()
  }

  async #connect(): Promise<Session<Connection>> {
    const { pool, connections, end } = await connect(this.#settings)
    try {
      const plain = connections as unknown as Connections
      const settings = this.#settings as unknown as Settings
      const variables = await readVariables(plain)
      connections.packetMaxBytes = Number(variables.max_allowed_packet)
      const statements = statementsOf(tablesOf(settings.table), dialectOf(variables.version ?? ''))
      await ensureSchema(plain, settings)
      await connections.write(statements.probe())
      return {
        records: new Records(plain, statements, settings.random),
        sweep: new Sweep(plain, statements, settings.random),
        transactions: new Transactions(connections, statements, this.#settings),
        findings: await verify(plain, pool, variables, settings),
        end,
      }
    } catch (error) {
      await end()
      throw error
    }
  }

  async #with<Answer>(step: (session: Session<Connection>) => Promise<Answer>): Promise<Answer> {
    const session = this.#opened()
    try {
      return await step(session)
    } catch (error) {
      throw storeError(error, nameOf(this.#settings as unknown as Settings))
    }
  }

  #opened(): Session<Connection> {
    if (this.#session !== undefined) return this.#session
    throw new StoreError(
      'ONCEMQ_CLOSED',
      'MysqlStore: expected an open store, received one that is not; await open() before its use',
    )
  }
}
