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
import type { PostgresClient } from './client.ts'
import { connect, nameOf } from './connection.ts'
import type { Connections } from './connection.ts'
import { storeError } from './errors.ts'
import type { PostgresStoreOptions, Settings } from './options.ts'
import { settingsOf } from './options.ts'
import { Records } from './records.ts'
import { ensureSchema, schemaSql } from './schema.ts'
import { Transactions } from './transaction.ts'
import { verify } from './verify.ts'

/** What `open()` makes and `close()` ends. */
interface Session<Client extends PostgresClient> {
  readonly records: Records
  readonly transactions: Transactions<Client>
  readonly findings: readonly Finding[]
  readonly end: () => Promise<void>
}

/**
 * Keeps records in a table of PostgreSQL, beside the data of your own: with `strategy: 'transactional'` a
 * handler's writes and the record commit together. Any number of machines may share the table. Works through
 * PgBouncer in transaction mode.
 * @throws OptionError when an option has a value that it cannot have.
 * @example
 * const pool = new pg.Pool({ max: 12 })
 * const dedup = createDeduplicator({ store: new PostgresStore({ pool }), consumerGroup: 'billing' })
 */
export class PostgresStore<Client extends PostgresClient = PostgresClient>
  implements TransactionalStore<Client>, SweepingStore
{
  readonly name = 'postgres'
  readonly guarantees: StoreGuarantees
  readonly batching = Object.freeze({ batchMax: 512, batchesInFlightMax: 2, batchMin: 128 })
  readonly #settings: Settings<Client>
  #opening: Promise<Session<Client>> | undefined
  #session: Session<Client> | undefined

  constructor(options: PostgresStoreOptions<Client>) {
    this.#settings = settingsOf(options)
    this.guarantees = Object.freeze({
      durable: true,
      sharedBy: 'network',
      transactional: true,
      renewsInTransaction: this.#settings.isolation === 'read committed',
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
    return this.#with(({ records }) => records.sweep(limit))
  }

  /**
   * Runs `work` with a connection on which a transaction is open. Leave BEGIN, COMMIT, ROLLBACK and `release`
   * to the store; SAVEPOINT is yours. At most `transactionsMax` run at a time, further ones wait.
   */
  async transaction(work: (tx: Client) => Promise<CompleteUpdate>): Promise<UpdateAnswer> {
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

  async #connect(): Promise<Session<Client>> {
    const { pool, connections, end } = await connect(this.#settings)
    try {
      const plain = connections as unknown as Connections
      await ensureSchema(plain, this.#settings)
      const findings = await verify(plain, pool, this.#settings)
      const records = new Records(plain, this.#settings.table)
      const transactions = new Transactions(connections, this.#settings)
      return { records, transactions, findings, end }
    } catch (error) {
      await end()
      throw error
    }
  }

  async #with<Answer>(step: (session: Session<Client>) => Promise<Answer>): Promise<Answer> {
    const session = this.#opened()
    try {
      return await step(session)
    } catch (error) {
      throw storeError(error, nameOf(this.#settings))
    }
  }

  #opened(): Session<Client> {
    if (this.#session !== undefined) return this.#session
    throw new StoreError(
      'ONCEMQ_CLOSED',
      'PostgresStore: expected an open store, received one that is not; await open() before its use',
    )
  }
}
