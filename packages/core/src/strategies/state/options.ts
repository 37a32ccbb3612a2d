import { quotedColumn, quotedName } from '../../store/row-write.ts'
import { givenOptions, requireFunction, requireInteger, requireOneOf } from '../../validate.ts'
import type { MachineOptions } from './machine.ts'
import type { Read } from './reading.ts'

/** Options of `stateMachine`. All times are milliseconds. */
export interface StateMachineOptions<Message> extends MachineOptions {
  /**
   * The table of the rows, with or without its schema (`orders`, `shop.orders`); on MongoDB the collection.
   */
  table: string
  /** The column that a row is found by. An index on it is looked for at start. */
  id: string
  /** The column of the state: text, or an enum. */
  state: string
  /**
   * Answers which row a message is about and which transition it asks for. A message for which it throws, or
   * answers something else, is dead-lettered as `unreadable`. It has `handlerTimeoutMs`, as the handler has.
   */
  read: Read<Message>
  /**
   * What becomes of a message whose row does not exist: `wait` for it as for a state that is still behind,
   * `dead-letter` it, or `ack` it.
   * @default 'wait'
   */
  onMissingRow?: 'wait' | 'dead-letter' | 'ack'
  /**
   * For how long after its first delivery a message that comes too early is tried again, before it is
   * dead-lettered. 1 to 31536000000 (a year).
   * @default 3600000
   */
  earlyForMs?: number
  /**
   * Whether each message has a record of ours too, which commits together with the transition. It tells what
   * a state alone cannot: which of two messages did a transition that may happen more than once.
   * @default false
   */
  record?: boolean
}

/** The defaults of {@link StateMachineOptions}. */
export const stateMachineDefaults = Object.freeze({
  onMissingRow: 'wait' as 'wait' | 'dead-letter' | 'ack',
  earlyForMs: 3_600_000,
  record: false,
})

const known = new Set([
  ...Object.keys(stateMachineDefaults),
  'table',
  'id',
  'state',
  'initial',
  'final',
  'transitions',
  'onAmbiguous',
  'read',
])
const YEAR_MS = 31_536_000_000

/** The options with their defaults, checked. @throws OptionError for one that is wrong. */
export function settingsOf<Message>(options: StateMachineOptions<Message>) {
  const given = givenOptions('stateMachine', options, known)
  const { onMissingRow, earlyForMs, record } = { ...stateMachineDefaults, ...given }
  const { table, id, state, read, onAmbiguous } = options
  requireOneOf('onMissingRow', onMissingRow, ['wait', 'dead-letter', 'ack'])
  requireOneOf('record', record, [true, false])
  if (onAmbiguous !== undefined) requireOneOf('onAmbiguous', onAmbiguous, ['duplicate', 'dead-letter'])
  requireInteger('earlyForMs', earlyForMs, 1, YEAR_MS)
  requireFunction('read', read, '(message) => ({ id, transition })')
  quotedName('table', table, String)
  for (const column of [id, state]) quotedColumn(column, String)
  return { onMissingRow, earlyForMs, record, read, names: Object.freeze({ table, id, state }) }
}
