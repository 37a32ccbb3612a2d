import type { DatabaseSync } from 'node:sqlite'
import type { BatchSteps, TransactionEnd, TransactionMember, UpdateAnswer } from '@oncemq/core/store'
import { asStoreError } from './errors.ts'

/** Around what a handler of a batch wrote and its completion, outside of the guard around the handler. */
const MEMBER = 'oncemq_member'

/** What a batch does as any transaction of the store. */
interface Shared {
  readonly begin: () => Promise<void>
  readonly run: (
    work: TransactionMember<DatabaseSync>['work'],
    signal: AbortSignal | undefined,
  ) => Promise<TransactionEnd | undefined>
  /** After what a handler wrote was taken back. */
  readonly undone: () => void
  readonly finish: (end: TransactionEnd | undefined) => {
    readonly answer: UpdateAnswer
    readonly commit: boolean
  }
  readonly commit: () => void
  readonly rollback: () => void
  readonly hasTime: () => boolean
  readonly isDone: (end: TransactionEnd) => boolean
}

/** A transaction of several handlers. */
export class SqliteBatch implements BatchSteps<DatabaseSync> {
  readonly #database: DatabaseSync
  readonly #begin: string
  readonly #where: string
  readonly #shared: Shared
  /** What is kept, of which each tells of all. */
  #kept: TransactionEnd | undefined
  isOpen = true

  constructor(database: DatabaseSync, guard: string, where: string, shared: Shared) {
    this.#database = database
    this.#begin = `SAVEPOINT ${MEMBER}; SAVEPOINT ${guard}`
    this.#where = where
    this.#shared = shared
  }

  get hasRoom(): boolean {
    return this.isOpen && this.#shared.hasTime()
  }

  async begin(): Promise<void> {
    await this.#shared.begin()
    this.#do(this.#begin)
  }

  async run({
    work,
    signal,
  }: Pick<TransactionMember<DatabaseSync>, 'work' | 'signal'>): Promise<UpdateAnswer | 'kept'> {
    try {
      const end = await this.#shared.run(work, signal)
      const { answer, commit } = this.#shared.finish(end)
      if (!commit) {
        this.#undo()
        return answer
      }
      this.#do(`RELEASE ${MEMBER}; ${this.#begin}`)
      this.#kept ??= end
      return 'kept'
    } catch (error) {
      this.#undo()
      throw error
    }
  }

  async commit(): Promise<void> {
    this.#shared.commit()
  }

  async end(): Promise<void> {
    this.#shared.rollback()
  }

  async wasCommitted(): Promise<boolean | undefined> {
    try {
      return this.#kept === undefined ? undefined : this.#shared.isDone(this.#kept)
    } catch {
      return undefined
    }
  }

  /** The savepoint is gone if the handler, or SQLite itself, has ended the transaction. */
  #undo(): void {
    try {
      if (this.isOpen) this.#database.exec(`ROLLBACK TO ${MEMBER}; RELEASE ${MEMBER}; ${this.#begin}`)
    } catch {
      this.isOpen = false
    }
    this.#shared.undone()
  }

  #do(sql: string): void {
    try {
      this.#database.exec(sql)
    } catch (error) {
      throw asStoreError(error, this.#where)
    }
  }
}
