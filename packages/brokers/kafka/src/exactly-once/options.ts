import { OptionError } from '@oncemq/core'
import { givenOptions, requireInteger, systemClock } from '@oncemq/core/broker'
import type { KafkaClient } from '../client.ts'
import { transactionsOf } from '../clients/given.ts'

/** Options of {@link exactlyOnce}. All times are milliseconds. */
export interface ExactlyOnceOptions {
  /**
   * The `Kafka` object of kafkajs: a producer for each partition is made with it. `consume` may read with
   * another client.
   */
  client: KafkaClient
  /**
   * What the transactional ids begin with: a partition's is `<transactionalId>/<group>/<topic>/<partition>`,
   * so that whoever gets a partition fences who had it. Workers of one group must have the same one. It is
   * what rights are granted for. 1 to 200 characters.
   * @default 'oncemq'
   */
  transactionalId?: string
  /**
   * After how long the broker aborts a transaction whose process says nothing more. Longer than a handler may
   * take (`handlerTimeoutMs`), and no longer than the broker's `transaction.max.timeout.ms`. 1000 to
   * 86400000.
   * @default 60000
   */
  transactionTimeoutMs?: number
  /** Lets records of a partition share a transaction. Each has one of its own by default. */
  batch?: BatchOptions
}

/** How many records of a partition may share a transaction. */
export interface BatchOptions {
  /**
   * How many records at most, also bounded by `concurrency` of `consume`. When one fails, all that were with
   * it are aborted and run again, one by one. 1 to 1000.
   */
  max: number
}

/** The defaults of {@link ExactlyOnceOptions}. */
export const exactlyOnceDefaults = Object.freeze({ transactionalId: 'oncemq', transactionTimeoutMs: 60_000 })

export interface ExactlyOnceSettings {
  readonly client: KafkaClient
  readonly transactionalId: string
  readonly transactionTimeoutMs: number
  readonly batchMax: number
}

const ID_LENGTH_MAX = 200
const TIMEOUT_MAX_MS = 86_400_000
const BATCH_MAX = 1000
const known = new Set(['client', 'transactionalId', 'transactionTimeoutMs', 'batch'])

/** @throws OptionError for an option that is wrong. */
export function exactlyOnceSettings(options: ExactlyOnceOptions): ExactlyOnceSettings {
  const given = givenOptions('exactlyOnce', options, known)
  const { client, transactionalId, transactionTimeoutMs, batch } = {
    ...exactlyOnceDefaults,
    ...(given as ExactlyOnceOptions),
  }
  transactionsOf(client, systemClock)
  requireId(transactionalId)
  requireInteger('transactionTimeoutMs', transactionTimeoutMs, 1000, TIMEOUT_MAX_MS)
  const { max: batchMax = 1 } = batch === undefined ? {} : givenOptions('batch', batch, new Set(['max']))
  requireInteger('batch.max', batchMax, 1, BATCH_MAX)
  return Object.freeze({ client, transactionalId, transactionTimeoutMs, batchMax })
}

function requireId(id: unknown): void {
  if (typeof id === 'string' && id.length >= 1 && id.length <= ID_LENGTH_MAX) return
  const what = typeof id === 'string' ? `one of ${id.length} characters` : typeof id
  throw new OptionError(
    `transactionalId: expected a string of 1 to ${ID_LENGTH_MAX} characters, received ${what}; ` +
      `name the service, such as 'billing'`,
  )
}
