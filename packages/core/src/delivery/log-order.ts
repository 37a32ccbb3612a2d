// What holds for each strategy that follows logs, before it is asked about a message.
import { OptionError } from '../errors.ts'
import type { EventSink } from '../observe/events.ts'
import type { TransactionStrategy } from '../strategies/strategy.ts'
import type { Delivery, ProcessOutcome } from './outcome.ts'

/** The outcome of a message whose log says that it is done: known without asking the store. */
export function pastOf({ position, key }: Delivery, events: EventSink): ProcessOutcome | undefined {
  if (position === undefined || !position.log.isPast(position.offset)) return undefined
  events.emit('duplicate', () => ({
    key: typeof key === 'string' ? key : undefined,
    source: 'position',
  }))
  return { status: 'duplicate', result: undefined }
}

/** @throws OptionError unless messages that come this way have a position in a log, or need none. */
export function requirePositions(
  { followsLog = false, name }: Pick<TransactionStrategy, 'followsLog' | 'name'>,
  givesPositions: boolean,
): void {
  if (!followsLog || givesPositions) return
  throw new OptionError(
    `strategy: expected one for messages without an order, received '${name}', which needs each message's ` +
      `position in a log; use it with consume of an adapter of logs, or use strategy 'transactional'`,
  )
}
