import type { AdvanceUpdate, TransactionalStore, UpdateAnswer } from './contract.ts'

/**
 * A store that keeps how far logs are done, for strategy `watermark`: one row for each log, which is what one
 * consumer group has of one partition of a topic, or of one stream. The broker says who reads a log; the row
 * says up to where its records took effect, and an epoch keeps those from moving it who read it before.
 *
 *   absent ──take──▶ held, epoch 1 ──advance, start──▶ held
 *                      ▲    │ release
 *                      │    ▼
 *                 take └─ free, and held too: whoever takes a log that is held was given it by the broker,
 *                         be the one before dead, cut off or late. Epoch + 1.
 *
 * Rows never expire. For every method: calls may overlap; each is one atomic step; one that throws has an
 * unknown outcome, and may be repeated.
 */
export interface LogStore<Tx> extends TransactionalStore<Tx> {
  /**
   * Takes a log, whoever holds it, and answers how it stands. A row that is locked by a transaction which is
   * about to move it is waited for: what that commits is seen.
   */
  takeLog(log: LogRequest): Promise<LogTaken>

  /**
   * Changes the row that still has the update's epoch; `lost` where it has another, or is gone, and nothing
   * is changed. An `unstart` is for whatever epoch the row has by now, and is always `ok`.
   */
  updateLog(update: LogUpdate): Promise<UpdateAnswer>
}

/** Which log {@link LogStore.takeLog} is to take. */
export interface LogRequest {
  /** 32 lower-case hexadecimal digits: 128 bits of a hash of consumer group and log. */
  readonly id: string
  /** Group and log for people: at most 256 characters, no NUL, well-formed; never an identity. */
  readonly label: string | undefined
}

/** A log as it stood when it was taken. Offsets are whole numbers of up to 63 bits. */
export interface LogTaken {
  /** Rises with each take: whoever has another one cannot move the row any more. */
  readonly epoch: number
  /** The offset after the last record that took effect; `undefined` while there is none. */
  readonly next: bigint | undefined
  /** Whether the one before has not released it. */
  readonly wasHeld: boolean
  /** The record whose starts were counted last, and how many they were. */
  readonly started: bigint | undefined
  readonly starts: number
}

/** A change of a log beside the transactions of handlers. */
export type LogUpdate = AdvanceUpdate | StartUpdate | UnstartUpdate | ReleaseLogUpdate

interface ChangeOfLog {
  readonly id: string
  readonly epoch: number
}

/**
 * Counts a start of the record at `offset`, which may be what ends its processes: one more where its starts
 * are counted, else it is the `attempt`th.
 */
export interface StartUpdate extends ChangeOfLog {
  readonly op: 'start'
  readonly offset: bigint
  readonly attempt: number
}

/** Takes back a counted start which did not end its process: another worker has the log now. */
export interface UnstartUpdate {
  readonly op: 'unstart'
  readonly id: string
  readonly offset: bigint
}

/** Says that whatever was started here has ended: no process died with it. */
export interface ReleaseLogUpdate extends ChangeOfLog {
  readonly op: 'release'
}
