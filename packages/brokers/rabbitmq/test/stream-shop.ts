import { DatabaseSync } from 'node:sqlite'
import type { DeduplicatorOptions } from '@oncemq/core'
import { createDeduplicator, watermark } from '@oncemq/core'
import { SqliteStore } from '@oncemq/sqlite'
import { onTestFinished } from 'vitest'
import type { AmqpMessage, ConsumeOptions } from '../src/index.ts'
import { consume } from '../src/index.ts'

export const textOf = ({ content }: AmqpMessage): string => content.toString().trim()

export type Options = Partial<ConsumeOptions<DatabaseSync>> & { queue: string }

/** Rows that handlers write to the store's own database, and how far its logs are. */
export class Shop {
  readonly database = new DatabaseSync(':memory:')
  readonly group = `g-${Math.random().toString(36).slice(2)}`
  readonly warnings: string[] = []

  constructor() {
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

  async consume(options: Options) {
    const consumer = await consume<DatabaseSync>({
      dedup: this.dedup(),
      handler: this.sell,
      retry: { firstMs: 50, factor: 1 },
      ...options,
    } as ConsumeOptions<DatabaseSync>)
    onTestFinished(() => consumer.close({ timeoutMs: 100 }))
    return consumer
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

  readonly sell = (message: AmqpMessage, { tx }: { tx: DatabaseSync }): void => {
    tx.prepare('INSERT INTO sales (name) VALUES (?)').run(textOf(message))
  }
}
