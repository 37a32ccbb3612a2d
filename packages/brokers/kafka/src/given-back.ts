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
