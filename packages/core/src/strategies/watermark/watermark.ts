import type { Start } from '../../claims/start.ts'
import type { Position, StoredLog } from '../../delivery/position.ts'
import { passedOver } from '../../delivery/position.ts'
import type { ProcessOutcome } from '../../delivery/outcome.ts'
import { OncemqError, OptionError } from '../../errors.ts'
import { recordId } from '../../delivery/identity.ts'
import type { Store } from '../../store/contract.ts'
import type { LogStore } from '../../store/log-contract.ts'
import { givenOptions, missingMethod, requireOneOf } from '../../validate.ts'
import { completeInTransaction, inTransaction, requireTransactions } from '../in-transaction.ts'
import type { CheckedSettings, StrategyServices, TransactionStrategy } from '../strategy.ts'
import { takeLog } from './logs.ts'

/** Options of `watermark`. */
export interface WatermarkOptions {
  /**
   * Whether each message has a record besides, by its key: for what a producer sends again, which stands in
   * the log at another offset. It costs a claim a message.
   * @default false
   */
  record?: boolean
}

/** The defaults of {@link WatermarkOptions}. */
export const watermarkDefaults = Object.freeze({ record: false })

const known = new Set(Object.keys(watermarkDefaults))

/**
 * For logs, such as Kafka's topics and RabbitMQ's streams, and handlers that write to the store's own
 * database: the offset up to which a partition is done stands in one row, and moves in the transaction of
 * each record's handler. Where the row says done, nothing runs; where it does not, nothing was written. So a
 * redelivery costs nothing, and no record is kept of any message. The row decides where the consumer goes on,
 * not the offset that the broker keeps. A worker that has lost the partition to another cannot move its row,
 * and what its handler wrote is rolled back.
 *
 * What a producer sends again stands in the log a second time, and runs a second time: see `record`.
 * @throws OptionError for an option that is wrong; at start for a store that keeps no logs, and for an
 *   adapter or a form of it that has no log's order.
 * @example
 * const dedup = createDeduplicator({
 *   store: new PostgresStore({ pool }),
 *   consumerGroup: 'billing',
 *   strategy: watermark(),
 * })
 */
export function watermark(options: WatermarkOptions = {}): TransactionStrategy {
  const { record } = { ...watermarkDefaults, ...givenOptions('watermark', options, known) }
  requireOneOf('record', record, [true, false])
  return {
    name: 'watermark',
    givesTx: true,
    usesRecords: record,
    allowsDropIn: false,
    // The row guards the commit, and a record's claim id does.
    needsDurableClaims: false,
    runsWithoutClaim: true,
    followsLog: true,
    // A handler that hangs keeps the database's locks.
    defaultHandlerTimeoutMs: (leaseMs) => leaseMs,
    check: requireLogStore,
    completeOnce: completeInTransaction,
    prepare: requireLogs,
    takeLog: (name, { settings, store }) => takeLog(name, settings, store),
    run: async (start, handler, services, { position: given, signal }) => {
      // Taken by this strategy.
      const position = given as Position<StoredLog> | undefined
      if (position === undefined) return { status: 'store-refused', error: withoutPosition() }
      const refused = await begun(start, position, services)
      if (refused !== undefined) return refused
      const { log, offset } = position
      const outcome = await inTransaction(start, handler, services, { position })
      log.ended(offset, endOf(outcome, signal?.aborted === true))
      if (outcome.status === 'completed' && start.epoch === 0)
        services.events.emit('completed', () => ({ key: start.key, epoch: 0 }))
      return passing(outcome, position)
    },
  }
}

/** Begins a start; answers why there is none. */
async function begun(
  start: Start,
  { log, offset }: Position<StoredLog>,
  { events }: StrategyServices,
): Promise<ProcessOutcome | undefined> {
  let refused: ProcessOutcome
  try {
    // Where there is a claim, its record counts.
    const answer = await log.begin(offset, start.epoch === 0 ? start.attempt : undefined)
    if (answer === 'begun') return undefined
    refused = answer === 'lost' ? { status: 'lost' } : { status: 'duplicate', result: undefined }
    if (answer === 'past') events.emit('duplicate', () => ({ key: start.key, source: 'position' }))
  } catch (error) {
    // The steps throw nothing else.
    refused = unanswered(error as OncemqError)
  }
  await start.release('unstarted')
  return refused
}

function unanswered(error: OncemqError): ProcessOutcome {
  if (error.code === 'ONCEMQ_CLOSED') return { status: 'closed', error }
  return { status: error.retryable ? 'store-down' : 'store-refused', error }
}

/** A handler that was told to stop, since the broker gives its log to another consumer, has not failed. */
function endOf({ status }: ProcessOutcome, isStopped: boolean): Parameters<StoredLog['ended']>[1] {
  if (status === 'completed') return 'committed'
  if (status === 'lost') return 'lost'
  const hasFailed = status === 'failed' || status === 'transaction-conflict'
  return hasFailed && !isStopped ? 'failed' : 'spared'
}

/** Once the message is put aside, whoever takes the log next is not to find it again. */
function passing(outcome: ProcessOutcome, position: Position): ProcessOutcome {
  if (outcome.status !== 'failed' || !outcome.final) return outcome
  const { forgive } = outcome
  const passed = async (): Promise<boolean> => {
    const isForgiven = (await forgive?.()) ?? true
    return (await passedOver(position)) && isForgiven
  }
  return { ...outcome, forgive: passed }
}

function requireLogStore(settings: CheckedSettings): void {
  requireTransactions('watermark', settings)
  const without = missingMethod(settings.store, ['takeLog', 'updateLog'])
  if (without === undefined) return
  throw new OptionError(
    `strategy: expected a store that keeps logs for 'watermark', received ${without}; ` +
      `use PostgresStore, MysqlStore or SqliteStore, or strategy 'transactional'`,
  )
}

/** The table of the logs is missed at start: where teams make the tables themselves, it may be. */
async function requireLogs(store: Store): Promise<readonly []> {
  const id = recordId('', 'watermark', { kind: 'internal' })
  await (store as LogStore<unknown>).updateLog({ op: 'release', id, epoch: 0 })
  return []
}

function withoutPosition(): OncemqError {
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `strategy: expected messages with a position in a log for 'watermark', received one without; ` +
      `consume a log, or use another strategy`,
  )
}
