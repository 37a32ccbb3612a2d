import { randomUUID } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import type { DeduplicatorOptions } from '@oncemq/core'
import { createDeduplicator, watermark } from '@oncemq/core'
import { SqliteStore } from '@oncemq/sqlite'
import { onTestFinished } from 'vitest'

/** Rows that handlers write to the store's own database, and how far its logs are. */
export class LogShop<Message> {
  readonly database = new DatabaseSync(':memory:')
  readonly group = `g-${randomUUID()}`
  readonly warnings: string[] = []
  readonly #textOf: (message: Message) => string

  constructor(textOf: (message: Message) => string) {
    this.#textOf = textOf
    this.database.exec('CREATE TABLE sales (name TEXT NOT NULL) STRICT')
    onTestFinished(() => this.database.close())
  }

  dedup(options: Partial<DeduplicatorOptions<DatabaseSync>> = {}, record = false) {
    const { group, database } = this
    const dedup = createDeduplicator({
      consumerGroup: group,
      logger: { warn: () => undefined },
      ...options,
      store: new SqliteStore({ database }),
      strategy: watermark({ record }),
    })
    dedup.on('warning', ({ message }) => this.warnings.push(message))
    onTestFinished(() => dedup.close({ timeoutMs: 100 }))
    return dedup
  }

  get sales(): readonly string[] {
    return this.database
      .prepare('SELECT name FROM sales ORDER BY rowid')
      .all()
      .map((row) => String(row['name']))
  }

  get log(): Record<string, unknown> | undefined {
    return this.database.prepare('SELECT * FROM oncemq_logs').get()
  }

  readonly sell = (message: Message, { tx }: { tx: unknown }): void => {
    ;(tx as DatabaseSync).prepare('INSERT INTO sales (name) VALUES (?)').run(this.#textOf(message))
  }
}
