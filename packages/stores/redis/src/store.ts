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
import { LifeCycle } from '@oncemq/core/store'
import { Connection, connect } from './connection.ts'
import { STORE, asStoreError } from './errors.ts'
import type { RedisStoreOptions, Settings } from './options.ts'
import { settingsOf } from './options.ts'
import { Records } from './records.ts'
import { verify } from './verify.ts'

// Measured: small enough that the server works on one batch while the client makes the next.
const BATCHING: StoreBatching = Object.freeze({
  batchMax: 128,
  batchesInFlightMax: 4,
  light: { callsMax: 32, entriesMin: 32, entriesPerMs: 50 },
})
// A cluster's batch goes out in up to sixteen parts.
const CLUSTER_BATCHING: StoreBatching = Object.freeze({
  batchMax: 512,
  batchesInFlightMax: 2,
  light: { callsMax: 16, entriesMin: 16, entriesPerMs: 20 },
})

/** What `open()` makes and `close()` ends. */
interface Opened {
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
  readonly #life: LifeCycle<Opened>
  #durable = false

  constructor(options: RedisStoreOptions) {
    this.#settings = settingsOf(options)
    this.#life = new LifeCycle({
      name: STORE,
      connect: () => this.#connect(),
      end: ({ connection }) => connection.close(),
    })
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
    const { findings, durable } = await this.#life.open()
    this.#durable = durable
    return findings
  }

  async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    return this.#life.opened.records.claim(batch)
  }

  async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    return this.#life.opened.records.update(batch)
  }

  async inspect(ids: readonly string[]): Promise<readonly (StoredRecord | undefined)[]> {
    return this.#life.opened.records.inspect(ids)
  }

  async forget(ids: readonly string[]): Promise<void> {
    return this.#life.opened.records.forget(ids)
  }

  async close(): Promise<void> {
    await this.#life.close()
  }

  async #connect(): Promise<Opened> {
    let connection: Connection | undefined
    try {
      connection = new Connection(await connect(this.#settings), this.#settings)
      const verdict = await verify(connection)
      return { connection, records: new Records(connection, this.#settings.prefix), ...verdict }
    } catch (error) {
      connection?.close()
      throw asStoreError(error)
    }
  }
}
