import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { NextMember, Timer, TransactionEnd, UpdateAnswer } from '@oncemq/core/store'
import { revocable, together, untilAborted } from '@oncemq/core/store'
import { SqliteBatch } from './batch.ts'
import { asStoreError, commitError, endedError, heldByHandler, isDatabaseFailure, STORE } from './errors.ts'
import { lockOf, whenFree } from './lock.ts'
import type { LockSettings } from './lock.ts'
import { HandlerSession } from './session.ts'

// A savepoint around the handler's writes, by which its transaction is known again.
const GUARD = 'oncemq_handler'
// With a WAL journal a commit may be lost, and nothing breaks.
const UNAWAITED = 'PRAGMA synchronous = NORMAL'
const NORMAL = 1
const ENDING = new Set<string | symbol>(['close', Symbol.dispose])

/** Of the longest wait of a short write: after it a batch takes no more. */
const TIME_SHARE = 1 / 4
/** A short write that waits for its turn. */
interface Write {
  /** Whether its commit has to be on the disk before it is answered. */
  readonly isDurable: boolean
  timer: Timer | undefined
  apply(): void
  committed(): void
  failed(error: unknown): void
}

/** A handler's transaction: `finish` applies the completion. */
export interface HandlerTransaction {
  readonly work: (tx: DatabaseSync) => Promise<TransactionEnd | undefined>
  readonly finish: (end: TransactionEnd | undefined) => Finish
  /** Ends the transaction at once, whatever the handler does. */
  readonly signal: AbortSignal | undefined
}

/** How the completions of a batch are applied, and looked for after its end. */
export interface BatchEnds {
  readonly finish: (end: TransactionEnd | undefined) => Finish
  readonly isDone: (end: TransactionEnd) => boolean
}

/** What the transaction answers, and whether what was written in it is to stay. */
export interface Finish {
  readonly answer: UpdateAnswer
  readonly commit: boolean
}

/**
 * Whatever this process writes through one connection, one transaction at a time.
 *
 *   write() ───▶ short writes ──┐ all that wait share one commit
 *                               ├──▶ lock ──▶ commit ──▶ next turn: short writes first, then one handler
 *   handle() ──▶ handlers ──────┘ one at a time; the loop awaits it while its transaction is open
 *
 * SQLite has one writer, and its waiting would stop the event loop that an open handler needs in order to
 * end. So nothing here asks SQLite for the lock while this process holds it, and short writes overtake
 * waiting handlers: a lease can be renewed between any two of them.
 */
export class Transactions {
  readonly #database: DatabaseSync
  readonly #where: string
  readonly #settings: LockSettings
  readonly #lock: () => void
  readonly #commit: StatementSync
  /** Sets what the connection came with, if its commits wait, and need not for the file's sake. */
  readonly #sync: string | undefined
  #writes: Write[] = []
  readonly #handlers = new Set<() => Promise<void>>()
  #loop: Promise<void> | undefined
  #handling = false

  constructor(database: DatabaseSync, where: string, settings: LockSettings) {
    this.#database = database
    this.#where = where
    this.#settings = settings
    this.#lock = lockOf(database)
    this.#commit = database.prepare('COMMIT')
    this.#sync = syncOf(database)
  }

  /**
   * Runs `step` under the write lock and resolves with its answer once it is committed. What need not be
   * durable, and finds no company that has to be, is not waited for until it is on the disk.
   */
  write<Answer>(step: () => Answer, isDurable = true): Promise<Answer> {
    return new Promise((resolve, reject) => {
      let answer: Answer
      const write: Write = {
        isDurable,
        timer: undefined,
        apply: () => void (answer = step()),
        committed: () => resolve(answer),
        failed: (error) => reject(asStoreError(error, this.#where)),
      }
      if (this.#handling) this.#boundWait(write)
      this.#writes.push(write)
      this.#start()
    })
  }

  /**
   * Opens a transaction, runs the handler in it, and commits what it wrote and its completion, or neither.
   */
  handle(transaction: HandlerTransaction): Promise<UpdateAnswer> {
    const { signal } = transaction
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      const leave = (): void => {
        this.#handlers.delete(turn)
        reject(signal?.reason as Error)
      }
      const turn = (): Promise<void> => {
        signal?.removeEventListener('abort', leave)
        return this.#handle(transaction).then(resolve, reject)
      }
      signal?.addEventListener('abort', leave, { once: true })
      this.#handlers.add(turn)
      this.#start()
    })
  }

  /** Handles what `next` gives in one transaction, when its turn comes: see `BatchingStore`. */
  handleTogether(next: NextMember<DatabaseSync>, ends: BatchEnds): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#handlers.add(() => this.#handleTogether(next, ends).then(resolve, reject))
      this.#start()
    })
  }

  /** Resolves when nothing is under way any more. */
  async drained(): Promise<void> {
    await this.#loop
  }

  #start(): void {
    this.#loop ??= this.#run()
  }

  async #run(): Promise<void> {
    // A microtask later, so that whatever is asked for at the same moment shares the first commit.
    await Promise.resolve()
    while (this.#writes.length > 0 || this.#handlers.size > 0) {
      if (this.#writes.length > 0) await this.#write()
      const [turn] = this.#handlers
      if (turn === undefined) continue
      this.#handlers.delete(turn)
      await turn()
    }
    this.#loop = undefined
  }

  async #write(): Promise<void> {
    try {
      const tell = await whenFree(() => this.#lockAndCommit(), this.#settings)
      tell()
    } catch (error) {
      // Nobody's turn has come: they all wait for the same lock.
      this.#takeWrites().forEach((write) => write.failed(error))
    }
  }

  /**
   * Takes the lock, commits all that wait, and answers how to tell them. All in one turn of the event loop: a
   * handler that writes to this file by a connection of its own waits in a system call, and would wait for a
   * lock that cannot be given back meanwhile.
   */
  #lockAndCommit(): () => void {
    if (this.#sync === undefined || this.#writes.some(({ isDurable }) => isDurable))
      return this.#commitWrites()
    // Not inside of a transaction, where it would change nothing.
    this.#database.exec(UNAWAITED)
    try {
      return this.#commitWrites()
    } finally {
      this.#database.exec(this.#sync)
    }
  }

  #commitWrites(): () => void {
    this.#lock()
    const writes = this.#takeWrites()
    try {
      for (const write of writes) write.apply()
      this.#commit.run()
    } catch (error) {
      this.#rollback()
      return () => writes.forEach((write) => write.failed(error))
    }
    return () => writes.forEach((write) => write.committed())
  }

  #takeWrites(): readonly Write[] {
    const writes = this.#writes
    this.#writes = []
    for (const { timer } of writes) timer?.cancel()
    return writes
  }

  async #handle(transaction: HandlerTransaction): Promise<UpdateAnswer> {
    this.#handling = true
    // Some may have come since the last turn of the short writes.
    for (const write of this.#writes) this.#boundWait(write)
    try {
      await this.#takeLock(transaction.signal)
      return await this.#workAndCommit(transaction)
    } finally {
      this.#handling = false
    }
  }

  async #handleTogether(next: NextMember<DatabaseSync>, { finish, isDone }: BatchEnds): Promise<void> {
    this.#handling = true
    for (const write of this.#writes) this.#boundWait(write)
    const { busyTimeoutMs, clock } = this.#settings
    const untilMs = clock.monotonicMs() + busyTimeoutMs * TIME_SHARE
    let session = new HandlerSession(this.#database)
    const steps = {
      begin: () => this.#takeLock(undefined),
      run: async (work: HandlerTransaction['work'], signal: AbortSignal | undefined) => {
        session = new HandlerSession(this.#database)
        const end = await this.#work(work, session, signal)
        this.#requireSameTransaction()
        session.restore()
        return end
      },
      undone: () => session.restoreAnyway(),
      finish: (end: TransactionEnd | undefined) => finish(end),
      commit: () => void this.#commitIf(() => ({ answer: 'ok', commit: true })),
      rollback: () => this.#rollback(),
      // Claims and renewals wait meanwhile.
      hasTime: () => clock.monotonicMs() < untilMs,
      isDone,
    }
    try {
      await together(new SqliteBatch(this.#database, GUARD, this.#where, steps), next)
    } finally {
      this.#handling = false
    }
  }

  async #takeLock(signal: AbortSignal | undefined): Promise<void> {
    try {
      await whenFree(this.#lock, this.#settings, signal)
    } catch (error) {
      throw signal?.aborted === true ? error : asStoreError(error, this.#where)
    }
  }

  async #workAndCommit({ work, finish, signal }: HandlerTransaction): Promise<UpdateAnswer> {
    const session = new HandlerSession(this.#database)
    try {
      this.#database.exec(`SAVEPOINT ${GUARD}`)
      const completion = await this.#work(work, session, signal)
      this.#requireSameTransaction()
      session.restore()
      return this.#commitIf(() => finish(completion))
    } finally {
      this.#rollback()
      session.restoreAnyway()
    }
  }

  /** Lends the connection to the handler, until it ends or its time is over. */
  async #work(
    work: HandlerTransaction['work'],
    session: HandlerSession,
    signal?: AbortSignal,
  ): Promise<TransactionEnd | undefined> {
    let rolledBackBy: unknown
    const { proxy, revoke, fail, driverErrorIn } = revocable(this.#database, {
      store: STORE,
      nested: isUsable,
      onCall: (_method, args) => session.asked(args),
      ends: (value, method) => value === this.#database && ENDING.has(method),
      onError: (error) => {
        if (this.#database.isTransaction) return
        // SQLite rolls all back when the disk is full, and what follows would commit by itself.
        if (isDatabaseFailure(error)) rolledBackBy ??= error
        fail(error)
      },
    })
    try {
      const completion = await untilAborted(() => work(proxy), signal)
      if (rolledBackBy !== undefined) throw asStoreError(rolledBackBy, this.#where)
      return completion
    } catch (error) {
      if (rolledBackBy !== undefined) throw asStoreError(rolledBackBy, this.#where)
      const failure = signal?.aborted === true ? undefined : driverErrorIn(error)
      if (isDatabaseFailure(failure)) throw asStoreError(failure, this.#where)
      // What it has committed is there: it must not be run again.
      this.#requireSameTransaction(error)
      throw error
    } finally {
      revoke()
    }
  }

  /** Commits, or leaves what was written to the rollback. */
  #commitIf(finish: () => Finish): UpdateAnswer {
    try {
      const { answer, commit } = finish()
      if (!commit) return answer
    } catch (error) {
      throw asStoreError(error, this.#where)
    }
    try {
      this.#commit.run()
      return 'ok'
    } catch (error) {
      throw commitError(error, this.#where)
    }
  }

  /** The savepoint is gone if the handler ended the transaction, also when it has begun another one. */
  #requireSameTransaction(thrown?: unknown): void {
    try {
      this.#database.exec(`RELEASE ${GUARD}`)
    } catch (cause) {
      throw endedError(thrown ?? cause)
    }
  }

  #rollback(): void {
    // After a commit nothing is open, nor after an error on which SQLite has rolled back by itself.
    if (this.#database.isOpen && this.#database.isTransaction) this.#database.exec('ROLLBACK')
  }

  /** Whoever asks from inside a handler, which then awaits the answer, would wait for ever. */
  #boundWait(write: Write): void {
    const { clock, busyTimeoutMs } = this.#settings
    write.timer ??= clock.after(busyTimeoutMs, () => {
      this.#writes = this.#writes.filter((each) => each !== write)
      write.failed(heldByHandler(busyTimeoutMs))
    })
  }
}

function syncOf(database: DatabaseSync): string | undefined {
  const journal = database.prepare('PRAGMA journal_mode').get()?.['journal_mode']
  const synchronous = Number(database.prepare('PRAGMA synchronous').get()?.['synchronous'])
  return journal === 'wal' && synchronous > NORMAL ? `PRAGMA synchronous = ${synchronous}` : undefined
}

/** Whether it uses the connection: a statement, an iterator or a session. Rows, lists and blobs do not. */
function isUsable(value: object): boolean {
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype !== null && prototype !== Object.prototype
}
