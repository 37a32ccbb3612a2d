import { OncemqError } from '@oncemq/core'

/** For the client, which fetches the records again, here or at another member of the group. */
export function givenBack(form: string): OncemqError {
  return new OncemqError(
    'ONCEMQ_CLOSED',
    `${form}: expected to go on, received the end of its signal or deduplicator; disconnect the consumer`,
  )
}

/** For the client, which fetches again what is not resolved. */
export function lost(): OncemqError {
  return new OncemqError(
    'ONCEMQ_CLOSED',
    'dedupEachBatch: expected a claim to last, received its loss: another worker has the record, or the ' +
      'deduplicator is closed; close it after its consumers',
  )
}

/** By their names, kafkajs ends for good for these, as for those that say so, and tries again for others. */
const ENDING = new Set(['RangeError', 'ReferenceError', 'SyntaxError', 'TypeError'])

/** What a handler has thrown, so that the client fetches again, and a poison record has all its attempts. */
export function retriable(error: unknown): unknown {
  const { name, retriable: isRetriable } = (error ?? {}) as { name?: unknown; retriable?: unknown }
  if (!ENDING.has(String(name)) && isRetriable !== false) return error
  return new Error(`dedupEachBatch: the handler threw ${String(name)}`, { cause: error })
}
