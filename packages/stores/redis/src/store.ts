import type {
  ClaimAnswer,
  ClaimRequest,
  ClaimUpdate,
  Finding,
  StoreBatching,
  StoreGuarantees,
  StoredRecord,
  UpdateAnswer,
} from '@oncemq/core/store'
import type { Store } from '@oncemq/core'
import { StoreError } from '@oncemq/core/store'
import { Connection, connect } from './connection.ts'
import { storeError } from './errors.ts'
import type { RedisStoreOptions, Settings } from './options.ts'
import { settingsOf } from './options.ts'
import { Records } from './records.ts'
import { verify } from './verify.ts'

// Measured: small enough that the server works on one batch while the client makes the next.
const BATCHING: StoreBatching = Object.freeze({ batchMax: 128, batchesInFlightMax: 4 })
// A cluster's batch goes out in up to sixteen parts.
const CLUSTER_BATCHING: StoreBatching = Object.freeze({ batchMax: 512, batchesInFlightMax: 2 })

/** What `open()` makes and `close()` ends. */
interface Session {
  readonly connection: Connection
  readonly records: Records
  readonly findings: readonly Finding[]
  readonly durable: boolean
}

/**
 * Keeps records in Redis or Valkey, one server or a cluster. Every machine that connects sees the same
 * records. Nothing has to be created, and the server removes by itself what has expired.
 *
 * How much survives a crash of the server is the server's own setting: `open()` says what it found, and
 * `guarantees.durable` is true once it has seen that every completion is on the disk before it is answered.
 * @throws OptionError when an option has a value that it cannot have.
 * @example
 * const store = new RedisStore({ client: new Redis('redis://127.0.0.1:6379') })
 * const dedup = createDeduplicator({ store, consumerGroup: 'billing' })
 */
export class RedisStore implements Store {
  readonly name = 'redis'
  readonly batching: StoreBatching
  readonly #settings: Settings
  #opening: Promise<Session> | undefined
  #session: Session | undefined
  #durable = false

  constructor(options: RedisStoreOptions) {
    this.#settings = settingsOf(options)
    const { source } = this.#settings
    this.batching = 'commands' in source && source.commands.isCluster ? CLUSTER_BATCHING : BATCHING
  }

  get guarantees(): StoreGuarantees {
    return Object.freeze({
      durable: this.#durable,
      sharedBy: 'network',
      transactional: false,
      renewsInTransaction: false,
      expiryGranularityMs: 1,
    })
  }

  async open(): Promise<readonly Finding[]> {
    const opening = (this.#opening ??= this.#connect())
    try {
      const session = await opening
      // It may have been closed meanwhile.
      if (this.#opening === opening) {
        this.#session = session
        this.#durable = session.durable
      }
      return session.findings
    } catch (error) {
      if (this.#opening === opening) this.#opening = undefined
      throw storeError(error)
    }
  }

  async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    return this.#opened().records.claim(batch)
  }

  async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    return this.#opened().records.update(batch)
  }

  async inspect(ids: readonly string[]): Promise<readonly (StoredRecord | undefined)[]> {
    return this.#opened().records.inspect(ids)
  }

  async forget(ids: readonly string[]): Promise<void> {
    return this.#opened().records.forget(ids)
  }

  async close(): Promise<void> {
    const opening = this.#opening
    this.#opening = undefined
    this.#session = undefined
    const session = await opening?.catch(() => undefined)
    session?.connection.close()
  }

  async #connect(): Promise<Session> {
    const connection = new Connection(await connect(this.#settings), this.#settings)
    try {
      const verdict = await verify(connection)
      return { connection, records: new Records(connection, this.#settings.prefix), ...verdict }
    } catch (error) {
      connection.close()
      throw error
    }
  }

  #opened(): Session {
    if (this.#session !== undefined) return this.#session
    throw new StoreError(
      'ONCEMQ_CLOSED',
      'RedisStore: expected an open store, received one that is not; await open() before its use',
    )
  }
}
