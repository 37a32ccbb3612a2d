import type { ClaimOutcome, Delivery, ProcessOutcome } from './delivery/outcome.ts'
import type { TakenLog } from './delivery/position.ts'
import type { OncemqError } from './errors.ts'
import type { EventName, Events } from './observe/events.ts'
import type { Health } from './observe/health.ts'
import type { Settings } from './options.ts'
import type { RunOptions, RunOutcome, Work } from './run.ts'
import type { StoredRecord } from './store/contract.ts'
import type { Handler } from './strategies/strategy.ts'

/** Which record is meant, where the key alone does not say it. */
export interface RecordScope {
  /**
   * The queue or topic that the message came from; `undefined` for keys of `run`, and with `keyScope:
   * 'group'`.
   */
  readonly source?: string | undefined
}

/**
 * Runs the handler of each key once. Made by `createDeduplicator`; used through an adapter (`consume`,
 * `dedupChannel`), or through {@link Deduplicator.run} where there is no broker.
 */
export interface Deduplicator<Tx = undefined> extends AsyncDisposable {
  /** The options as they are in force. */
  readonly settings: Settings<Tx>
  /** Why the store is down; `undefined` when it is up as far as is known. */
  readonly outage: OncemqError | undefined
  /**
   * Opens the store, reports what its start-up checks found, and tests it. Idempotent. The first delivery
   * does it too; call it at start to see a wrong set-up before any message does.
   * @throws OncemqError when the store cannot be used.
   */
  open(): Promise<void>
  /**
   * Runs `work` once per key, with no broker: a webhook, a cron job.
   * @throws what `work` throws, and OncemqError for a key that cannot be used or a store that is down.
   * @example
   * const outcome = await dedup.run('stripe:evt_1', () => ship(order))
   */
  run<Value>(key: string, work: Work<Value, Tx>, options?: RunOptions<Value>): Promise<RunOutcome<Value>>
  /**
   * Forgets a key, so that its next message runs again. Other processes may answer from memory for
   * `doneCacheMs` more.
   * @throws OncemqError for a key that cannot be used or a store that is down.
   */
  forget(key: string, scope?: RecordScope): Promise<void>
  /**
   * The record of a key, for operators.
   * @throws OncemqError for a key that cannot be used or a store that is down.
   */
  inspect(key: string, scope?: RecordScope): Promise<StoredRecord | undefined>
  /**
   * How it is, as far as is known without asking anybody, for readiness probes. An outage is noticed by the
   * first call that fails.
   * @example
   * response.statusCode = dedup.health().isReady ? 200 : 503
   */
  health(): Health
  /** Calls `listener` at each event of that name; answers the function that removes it. */
  on<Name extends EventName>(name: Name, listener: (event: Events[Name]) => void): () => void
  /** How often each event happened so far. */
  counts(): Readonly<Record<EventName, number>>
  /**
   * Lets no further delivery in, waits until the handlers that run have ended (up to `timeoutMs`, 30000 by
   * default), and closes the store if it is the last one to use it. Idempotent. What has not ended by then
   * loses nothing: its lease runs out and its message is delivered again. Close the consumers before it.
   */
  close(options?: { timeoutMs?: number }): Promise<void>

  /**
   * For adapters: claims a delivery's key, runs the handler if it is granted, records the end. Never rejects.
   */
  process(delivery: Delivery, handler: Handler<Tx>): Promise<ProcessOutcome>
  /**
   * For adapters whose users settle by themselves: asks for a delivery's key. Never rejects, but with a
   * strategy that uses no records, which has no claims to ask for.
   */
  claim(delivery: Delivery): Promise<ClaimOutcome>
  /**
   * For adapters: resolves with true as soon as the store may be asked again, with false when `signal` aborts
   * or at close.
   */
  available(signal?: AbortSignal): Promise<boolean>
  /**
   * For adapters of logs, where the strategy follows them: takes a partition or stream that the broker has
   * given to this consumer, named by the parts that make it unique in its group: topic and partition.
   * `fromBeginning`, true by default, says where one begins of which nothing was handled.
   * @throws OncemqError while the store does not answer, or refuses.
   */
  takeLog(name: readonly string[], options?: { readonly fromBeginning?: boolean }): Promise<TakenLog>
  /** For adapters: emits, as event `warning`, what users should know and what is no outcome. */
  warn(message: string): void
  /** For adapters: emits, as event of that name, that a message was durably dead-lettered. */
  deadLettered(event: Events['deadLettered']): void
  /**
   * For adapters: what the workers of this store share and no sender knows. @throws OncemqError while the
   * store does not answer.
   */
  secret(): Promise<Uint8Array>
}
