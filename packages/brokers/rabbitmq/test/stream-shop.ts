import type { DatabaseSync } from 'node:sqlite'
import { LogShop } from '@oncemq/test-brokers'
import { onTestFinished } from 'vitest'
import type { AmqpMessage, ConsumeOptions } from '../src/index.ts'
import { consume } from '../src/index.ts'

export const textOf = ({ content }: AmqpMessage): string => content.toString().trim()

export type Options = Partial<ConsumeOptions<DatabaseSync>> & { queue: string }

export class Shop extends LogShop<AmqpMessage> {
  constructor() {
    super(textOf)
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
}
