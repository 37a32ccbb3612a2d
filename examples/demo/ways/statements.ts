import { DatabaseSync } from 'node:sqlite'
import type { StatementSync } from 'node:sqlite'
import { MemoryStore } from '@oncemq/core'

/** What a client was asked to do, counted where it is asked. */
export class Statements {
  count = 0
}

/** A connection of node:sqlite that counts each statement that is run on it. */
export class CountedDatabase extends DatabaseSync {
  readonly #statements: Statements

  constructor(path: string, statements: Statements, options: { timeout: number }) {
    super(path, options)
    this.#statements = statements
  }

  override exec(sql: string): void {
    this.#statements.count += 1
    super.exec(sql)
  }

  override prepare(sql: string): StatementSync {
    const statement = super.prepare(sql)
    for (const name of ['run', 'get', 'all', 'iterate'] as const) {
      const run = statement[name].bind(statement) as (...values: unknown[]) => never
      statement[name] = (...values: unknown[]) => {
        this.#statements.count += 1
        return run(...values)
      }
    }
    return statement
  }
}

/** A MemoryStore that counts what would be one script each on Redis. */
export class CountedMemoryStore extends MemoryStore {
  readonly #statements: Statements

  constructor(statements: Statements) {
    super()
    this.#statements = statements
  }

  override claim(...args: Parameters<MemoryStore['claim']>) {
    this.#statements.count += 1
    return super.claim(...args)
  }

  override update(...args: Parameters<MemoryStore['update']>) {
    this.#statements.count += 1
    return super.update(...args)
  }
}
