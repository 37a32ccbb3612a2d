import type { DatabaseSync } from 'node:sqlite'
import { StoreError } from '@oncemq/core/store'

const PRAGMA = /\bpragma\b/i
const TEMPORARY = /\btemp(?:orary)?\b/i

/** Settings that would stop the store, or have the next message's rows go unchecked. */
const SETTINGS = ['query_only', 'locking_mode', 'ignore_check_constraints', 'recursive_triggers']

/** Indexes go with their tables. */
const OBJECTS = `
  SELECT type, name FROM sqlite_temp_schema WHERE type <> 'index' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'`

type Setting = readonly [name: string, value: unknown]

/**
 * What a handler changes for its session, which is that of all messages after it: the store has one
 * connection, and does not close it. Looked at only where the handler speaks of it.
 */
export class HandlerSession {
  readonly #database: DatabaseSync
  #settings: readonly Setting[] = []
  #objects: ReadonlySet<string> | undefined

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  /** Before a call of the handler's. */
  asked([first]: readonly unknown[]): void {
    // A tag has its text in parts.
    const text = Array.isArray(first) ? first.join('?') : first
    if (typeof text !== 'string') return
    if (this.#settings.length === 0 && PRAGMA.test(text))
      this.#settings = SETTINGS.map((name) => this.#setting(name))
    if (this.#objects === undefined && TEMPORARY.test(text)) this.#objects = new Set(this.#drops())
  }

  /**
   * Puts back what was set, and drops what would shadow a table of the file. Before the commit, since what is
   * still read cannot be dropped. @throws StoreError `ONCEMQ_STORE_REFUSED` for that.
   */
  restore(): void {
    for (const [name, value] of this.#settings) this.#database.exec(`PRAGMA ${name} = ${String(value)}`)
    for (const drop of this.#objects === undefined ? [] : this.#drops()) {
      if (this.#objects?.has(drop) === false) this.#drop(drop)
    }
  }

  /** The same after a rollback, which has dropped what a handler made and did not commit by itself. */
  restoreAnyway(): void {
    try {
      this.restore()
    } catch {}
  }

  #drop(statement: string): void {
    try {
      this.#database.exec(statement)
    } catch (cause) {
      throw new StoreError(
        'ONCEMQ_STORE_REFUSED',
        'SqliteStore: expected to drop the temporary tables that the handler has left, but a statement of ' +
          'its connection is still read; end what iterates, or drop them in the handler',
        { cause },
      )
    }
  }

  #setting(name: string): Setting {
    const [value] = Object.values(this.#database.prepare(`PRAGMA ${name}`).get() ?? {})
    return [name, value]
  }

  /** For each temporary object what drops it. */
  #drops(): string[] {
    const found = this.#database.prepare(OBJECTS).all() as { readonly type: string; readonly name: string }[]
    return found.map(({ type, name }) => `DROP ${type} IF EXISTS temp."${name.replaceAll('"', '""')}"`)
  }
}
