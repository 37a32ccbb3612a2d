/**
 * What a store does: six methods, batch first. A store owns atomicity and nothing else. The core owns
 * retries, timeouts, batching, waiting, caching, logging and metrics, and calls a store with valid arguments
 * only.
 *
 * One record per id. Its life:
 *
 *   absent ──claim──▶ running ──complete──▶ done ──(retention over)──▶ as absent, but the epoch goes on
 *                      ▲  │ ▲ │
 *                 claim│  │ └─┘ renew, by its claim alone
 *                      │  └─release──▶ free
 *                      └───────────────┘  (claim also takes a running record whose lease has run out)
 *
 * For every method: calls may overlap; a batch has at least one entry and no id twice; answers stand at their
 * entries' positions; each entry is one atomic step of its own, and a batch need not be atomic as a whole.
 * Every comparison with time uses the store's clock, read inside that step. A call that throws has an unknown
 * outcome: the core repeats it, or a part of it, with the same ids and claim ids, which must be safe.
 */
export interface Store {
  /** Short lower-case name for events and messages, such as `sqlite`. */
  readonly name: string
  readonly guarantees: StoreGuarantees
  readonly batching: StoreBatching

  /**
   * Connects, creates what is missing, and checks the server's settings. Idempotent; works again after
   * `close`. Answers what it found wrong: the core refuses `error` findings and reports the others.
   * @throws StoreError when the store cannot be used.
   */
  open(): Promise<readonly Finding[]>

  /**
   * Asks for the right to process each id. In this order:
   * 1. running with this claim id: `granted` with the epoch and attempt it has, the lease starting anew (the
   *    repetition of a claim whose answer got lost);
   * 2. absent, free, running with a lease that is over, or done with its retention over: becomes running with
   *    this claim id, fingerprint and label, epoch + 1, attempt + 1 (or 1 after done or absent): `granted`;
   * 3. running: `busy`;  4. done: `done`.
   * Before 2 and 3: running or free, not expired, with a fingerprint other than the request's, both given:
   * `conflict`, which changes nothing. So a payload that fails again and again cannot use up the attempts of
   * another one under the same key.
   * A running record expires for the sweeper `leaseMs + retentionMs` from now, so that its epoch outlives its
   * lease.
   */
  claim(batch: readonly ClaimRequest[], options?: ClaimOptions): Promise<readonly ClaimAnswer[]>

  /**
   * Changes records that are running with the entry's claim id, also after the lease's end if nobody took
   * over: renew, complete or release. To complete what this claim id has completed already is `ok`. All else
   * is `lost` and changes nothing.
   */
  update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]>

  /** The records as they stand, for people; `undefined` for an id without one. */
  inspect(ids: readonly string[]): Promise<readonly (StoredRecord | undefined)[]>

  /** Removes the records, whatever their state: the next claim of each is its first. Idempotent. */
  forget(ids: readonly string[]): Promise<void>

  /** Closes what the store itself opened, never an injected client. Idempotent. */
  close(): Promise<void>
}

/**
 * A store that can commit a completion together with the handler's own writes. `Tx` is what the handler
 * writes with.
 */
export interface TransactionalStore<Tx> extends Store {
  /**
   * Opens a transaction, runs `work` in it, applies the completion that `work` answers, and commits both or
   * neither: `ok` after the commit; `lost` after a rollback. A completion of what this claim id has completed
   * already repeats a commit whose answer got lost: it rolls back and answers `ok`. Where `work` answers no
   * completion, what it wrote commits alone: `ok`. A store that keeps logs is answered their moves, too: see
   * `LogStore`.
   *
   * `tx` ends with `work`: when `work` settles it is revoked, before anything else is sent, and whatever a
   * branch that was left running asks of it throws `ONCEMQ_TRANSACTION_ENDED` and writes nothing. When
   * `signal` aborts, the transaction is rolled back and `tx` revoked at once, without waiting for `work`, and
   * the call rejects with the signal's reason.
   *
   * When `work` throws it rolls back and throws the same error, unless an error that the *driver* made on
   * this `tx` stands behind it (itself or among its causes) and is the database's own: then that is thrown.
   * An object that merely looks like one, thrown by a handler, is the handler's.
   * @throws StoreError with code `ONCEMQ_TRANSACTION_CONFLICT` when the database asks for the whole
   * transaction to be run again (deadlock, serialization), `ONCEMQ_TRANSACTION_ENDED` when the handler has
   * ended it by itself (what it committed stays), `ONCEMQ_COMMIT_UNKNOWN` when the commit's outcome is not
   * known, `ONCEMQ_STORE_UNAVAILABLE` when the connection was lost.
   */
  transaction(
    work: (tx: Tx) => Promise<TransactionEnd | undefined>,
    signal?: AbortSignal,
  ): Promise<UpdateAnswer>
}

/** A store that knows the unique keys of its user's tables, for strategy `naturalKey`. */
export interface KeyedStore<Tx> extends TransactionalStore<Tx> {
  /** The unique key of this name, as duplicate-key errors report it. Asks nothing of the database yet. */
  uniqueKey(name: string): UniqueKey<Tx>
}

/** A unique key of a table of the user's. */
export interface UniqueKey<Tx> {
  /**
   * Looks for the key at start, and for which one of that name it is. Answers as warnings where it guards
   * less than it seems to, or more. @throws StoreError `ONCEMQ_TABLE_UNFIT` unless there is exactly one whose
   * violation can be told.
   */
  check(): Promise<readonly Finding[]>
  /**
   * Whether the *driver* reported on this `tx` that this very key was violated, and that stands behind
   * `thrown`; not for any other error, however much it looks like one, nor for a key of the same name in
   * another table, schema or database. Without `tx`, `thrown` is the driver's error at the end of a
   * transaction of the store's own. Never throws or rejects.
   */
  isViolatedBy(thrown: unknown, tx: Tx | undefined): boolean | Promise<boolean>
}

/** A store whose expired records do not go away by themselves. */
export interface SweepingStore extends Store {
  /**
   * Removes at most `limit` expired records in one short step that does not hold up claims, and answers how
   * many went; fewer than `limit` means that nothing more is to be done now, or that another worker is
   * sweeping.
   */
  sweep(limit: number): Promise<number>
}

/**
 * Facts that a store states about itself; tests and start-up checks read them instead of the store's name.
 */
export interface StoreGuarantees {
  /** Whether an answered completion survives the end of the process and, as configured, a power loss. */
  readonly durable: boolean
  /**
   * Who sees the same records: this process, the processes of this machine, or every machine that connects.
   */
  readonly sharedBy: 'process' | 'machine' | 'network'
  /** Whether it is a {@link TransactionalStore}. */
  readonly transactional: boolean
  /**
   * Whether a lease can be renewed while the transaction of its claim is open. Not where the completion would
   * then conflict with the renewal, which commits beside it (snapshot isolation): there a handler has one
   * lease to end in. False without transactions.
   */
  readonly renewsInTransaction: boolean
  /**
   * Whether it is a {@link BatchingStore}, as it was set up: one that fails is rolled back alone by its
   * savepoint, or with all of the batch, which are then run again by themselves (`whole`). By default it is
   * none.
   */
  readonly batchesTransactions?: 'savepoints' | 'whole' | undefined
  /** The step in which leases and retention end, in milliseconds. */
  readonly expiryGranularityMs: number
}

/** How batches should be cut for this store, as measured. */
export interface StoreBatching {
  /** Most entries of one call. */
  readonly batchMax: number
  /** Most calls of one kind under way at a time, once the store is busy. */
  readonly batchesInFlightMax: number
  /**
   * Most transactions of several messages under way at a time, while many wait. By default, and while few do,
   * `batchesInFlightMax`.
   */
  readonly transactionsInFlightMax?: number
  /** What may be under way while the store has time for more. By default a call leaves only when none is. */
  readonly light?: LightLoad
  /**
   * With how many entries a further call leaves beside one under way. A burst of twice as many or more that
   * finds the store idle leaves in two calls, so that this process and the store work at the same time. By
   * default `batchMax`: a further call leaves only when it is full.
   */
  readonly batchMin?: number
}

/** As long as few entries of one kind are under way, those that come leave at once beside them. */
export interface LightLoad {
  /** Most calls that are then under way. Each may need a connection. */
  readonly callsMax: number
  /** So many entries are few in any case. */
  readonly entriesMin: number
  /** And so many for each millisecond that an answer takes: what the store does meanwhile in small calls. */
  readonly entriesPerMs: number
}

/** Something about a store's set-up that its user should know. */
export interface Finding {
  /** `error`: messages may be lost or processed twice, refused unless accepted by code. */
  readonly severity: 'error' | 'warning' | 'info'
  /** Stable name such as `redis-eviction`, for `acceptFindings`. */
  readonly code: string
  readonly found: string
  readonly remedy: string
}

/** Which record is asked for, by which claim, and for how long: an entry of {@link Store.claim}. */
export interface ClaimRequest {
  /** The record's id: 32 lower-case hexadecimal digits (128 bits of a hash of consumer group and key). */
  readonly id: string
  /** 32 lower-case hexadecimal digits, random, new for each delivery that asks. */
  readonly claimId: string
  /** Integer milliseconds, at least 1. */
  readonly leaseMs: number
  /** Integer milliseconds, at least 1. */
  readonly retentionMs: number
  /** 32 lower-case hexadecimal digits of a hash of the payload. */
  readonly fingerprint: string | undefined
  /** Group and key for people: at most 256 characters, no NUL, well-formed; never an identity. */
  readonly label: string | undefined
}

/** Options of one call of {@link Store.claim}, for all of its entries. */
export interface ClaimOptions {
  /**
   * Whether an answered grant has to survive the end of the store's server, and a change of its primary. Not
   * for claims whose completion commits with the handler's writes, guarded by the claim id: what forgets the
   * claim forgets that transaction too. It must survive the end of this process all the same. A store may do
   * more than it has to.
   * @default true
   */
  readonly isDurable?: boolean
}

/** What {@link Store.claim} answers to an entry. */
export type ClaimAnswer =
  | {
      readonly status: 'granted'
      /** Rises with each grant of this record: a fencing token. */
      readonly epoch: number
      /** Starts since the record was last new, done or reset by a release; this one included. */
      readonly attempt: number
    }
  | { readonly status: 'busy'; readonly epoch: number; readonly leaseRemainingMs: number }
  /** Running or free under another payload. */
  | { readonly status: 'conflict' }
  | {
      readonly status: 'done'
      readonly fingerprint: string | undefined
      readonly result: Uint8Array | undefined
    }

/** A change of a record by the claim that it is running with: an entry of {@link Store.update}. */
export type ClaimUpdate = RenewUpdate | CompleteUpdate | ReleaseUpdate

/** Lets the lease start anew. */
export interface RenewUpdate {
  readonly op: 'renew'
  readonly id: string
  readonly claimId: string
  /** The lease's new length from now. */
  readonly leaseMs: number
  /** Added to the lease for the record's own expiry. */
  readonly retentionMs: number
}

/** Makes the record done: its further claims are answered `done` until the retention is over. */
export interface CompleteUpdate {
  readonly op: 'complete'
  readonly id: string
  readonly claimId: string
  /** How long the record stays done, from now. */
  readonly retentionMs: number
  /** Kept with the record and given to duplicates. */
  readonly result: Uint8Array | undefined
  /** In a transaction: the log that moves with it, or else both are `lost`. */
  readonly advance?: AdvanceUpdate | undefined
}

/**
 * Moves a log on: in the transaction of a record's handler past that record, and beside transactions past
 * what was put aside. `next` becomes this one where the row has this epoch and the `next` that the worker
 * knows, `from`: so neither another worker's row is moved, nor one that a failover or a backup has set back,
 * whose records would be missing for good. A row with this epoch that is at `next` already is the repetition
 * of a step whose answer got lost: `ok`, and rolled back in a transaction. All else is `lost`, and rolled
 * back.
 */
export interface AdvanceUpdate {
  readonly op: 'advance'
  readonly id: string
  readonly epoch: number
  /** `undefined` for a row without. */
  readonly from: bigint | undefined
  readonly next: bigint
}

/**
 * What commits together with a handler's writes: the completion of a record, a log that moves, or a
 * completion with a log that moves.
 */
export type TransactionEnd = CompleteUpdate | AdvanceUpdate

/** Makes the record free: the next claim of it is granted, under the same payload. */
export interface ReleaseUpdate {
  readonly op: 'release'
  readonly id: string
  readonly claimId: string
  /** How long the free record keeps its epoch and attempts, from now. */
  readonly retentionMs: number
  /** What the record's attempts become: the count so far after a failure, 0 to start afresh. */
  readonly attempts: number
}

/** `lost`: what was to be changed is not this claim's, or not this worker's, any more; nothing is changed. */
export type UpdateAnswer = 'ok' | 'lost'

/** A record as {@link Store.inspect} shows it. Times are as of the store's clock. */
export interface StoredRecord {
  readonly state: 'running' | 'done' | 'free'
  readonly epoch: number
  readonly attempts: number
  /** Milliseconds until the lease ends; negative when it is over; 0 unless running. */
  readonly leaseRemainingMs: number
  /** Milliseconds until the record may be swept; negative when it may be now. */
  readonly expiresInMs: number
  readonly fingerprint: string | undefined
  readonly label: string | undefined
  readonly result: Uint8Array | undefined
}
