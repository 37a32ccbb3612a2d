import type { ProcessOutcome } from '@oncemq/core'
import { OncemqError } from '@oncemq/core'
import type { TransactionFault } from '../clients/port.ts'

/** A transaction that did not commit, or is not known to have, for no fault of a handler. */
export class NotCommitted extends Error {
  readonly outcome: ProcessOutcome

  constructor(outcome: ProcessOutcome) {
    super('not committed')
    this.outcome = outcome
  }
}

const REMEDIES: ReadonlyMap<string, string> = new Map([
  ['TRANSACTIONAL_ID_AUTHORIZATION_FAILED', 'grant WRITE and DESCRIBE on transactional ids with its prefix'],
  ['GROUP_AUTHORIZATION_FAILED', 'grant READ on the group'],
  ['TOPIC_AUTHORIZATION_FAILED', 'grant WRITE on the topic'],
  ['CLUSTER_AUTHORIZATION_FAILED', 'grant IDEMPOTENT_WRITE on the cluster, or WRITE on the topics'],
  [
    'INVALID_TRANSACTION_TIMEOUT',
    "give a transactionTimeoutMs that is no longer than the broker's transaction.max.timeout.ms",
  ],
  ['KafkaJSServerDoesNotSupportApiKey', 'use a cluster with transactions: Kafka 0.11 or newer'],
])

/** What a fault means for the messages of a transaction. */
export function outcomeOf({ kind, name }: TransactionFault, cause: unknown): ProcessOutcome {
  if (kind === 'fenced') return { status: 'lost' }
  const error = errorOf({ kind, name }, cause)
  return { status: kind === 'refused' ? 'store-refused' : 'store-down', error }
}

/** The error of a transaction that cannot be had. */
export function errorOf({ kind, name }: TransactionFault, cause: unknown): OncemqError {
  if (kind === 'refused') {
    const remedy = REMEDIES.get(name) ?? 'the cause says more'
    return new OncemqError(
      'ONCEMQ_CONSUMER_UNSAFE',
      `exactlyOnce: expected a transaction, received ${name}; ${remedy}`,
      { cause },
    )
  }
  return new OncemqError(
    'ONCEMQ_BROKER_UNAVAILABLE',
    `exactlyOnce: expected a transaction, received ${name}; it is tried again. If it stays, see that the ` +
      'cluster can keep transactions: transaction.state.log.replication.factor must not exceed its brokers' +
      '; with ACLs, grant WRITE and DESCRIBE on transactional ids with its prefix',
    { cause },
  )
}
