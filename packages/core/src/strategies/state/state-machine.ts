import type { Start } from '../../claims/start.ts'
import type { ProcessOutcome } from '../../delivery/outcome.ts'
import { OptionError } from '../../errors.ts'
import type { StateStore, StateTable } from '../../store/state-contract.ts'
import { missingMethod } from '../../validate.ts'
import { failed } from '../failure.ts'
import { completeInTransaction, inTransaction, requireTransactions } from '../in-transaction.ts'
import { perStore } from '../per-store.ts'
import type { CheckedSettings, Explain, Handler, StrategyServices, TransactionStrategy } from '../strategy.ts'
import { Machine } from './machine.ts'
import type { StateMachineOptions } from './options.ts'
import { settingsOf } from './options.ts'
import type { Reading } from './reading.ts'
import { readingOf } from './reading.ts'
import type { Policy } from './verdict.ts'
import { judged, NotMoved } from './verdict.ts'

/**
 * For handlers of rows that go through states: a message asks for a transition, and the row's state tells
 * whether it is new. In one transaction of the store the row is moved, by one statement that names the states
 * it may be in, and the handler runs with `context.tx`; both commit or neither. Where the row is in none of
 * these states, the handler does not run: past the transition the delivery is a duplicate and acked; before
 * it, it came too early and is tried again, for `earlyForMs`; else it is dead-lettered as `impossible`.
 *
 * Two messages that ask for the same transition of one row are one event to it, whatever their keys are: the
 * second is a duplicate. Where a state can come again, which needs `record`, each of them does its own.
 * @throws OptionError for a machine with states that cannot be reached, dead ends that are not in `final`, or
 *   cycles without `record`; at start for a store without transactions, and `ONCEMQ_TABLE_UNFIT` when the
 *   table lacks a column.
 * @example
 * const strategy = stateMachine({
 *   table: 'orders', id: 'id', state: 'status',
 *   initial: 'pending', final: ['done'],
 *   transitions: { pay: { from: 'pending', to: 'paid' }, ship: { from: 'paid', to: 'done' } },
 *   read: (message: AmqpMessage) => JSON.parse(message.content.toString()),
 * })
 */
export function stateMachine<Message = unknown>(options: StateMachineOptions<Message>): TransactionStrategy {
  const settings = settingsOf(options)
  const machine = new Machine(options, settings.record)
  const tableOf = perStore((store) => (store as StateStore<unknown>).stateTable(settings.names))
  return {
    name: 'stateMachine',
    givesTx: true,
    usesRecords: settings.record,
    needsDurableClaims: false,
    allowsDropIn: false,
    runsWithoutClaim: true,
    // A handler that hangs keeps the database's locks.
    defaultHandlerTimeoutMs: (leaseMs) => leaseMs,
    check: requireStateStore,
    completeOnce: completeInTransaction,
    prepare: (store) => tableOf(store).check(machine.states),
    run: async (start, handler, services, delivery) => {
      const bound = { ...services, abort: (reason: unknown) => start.abort(reason) }
      const reading = await readingOf(delivery.message, { read: settings.read, machine, bound })
      const policy: Policy = { ...settings, firstAtMs: delivery.firstAtMs }
      if (reading instanceof Error && reading.code === 'ONCEMQ_HANDLER_TIMEOUT')
        return failed(start, reading, services)
      if (reading instanceof Error)
        return judged({ as: 'unreadable', error: reading }, start, services, policy)
      const step = new Step({ machine, reading, table: tableOf(services.store), policy, start, services })
      return step.run(handler)
    },
  }
}

interface StepParts {
  readonly machine: Machine
  readonly reading: Reading
  readonly table: StateTable<unknown>
  readonly policy: Policy
  readonly start: Start
  readonly services: StrategyServices
}

/**
 * Between the update that moved nothing and the look at the row, somebody else may have moved it to where it
 * can.
 */
const MOVES_MAX = 3

/** One transition of one row. */
class Step {
  readonly #parts: StepParts
  #isPast = false

  constructor(parts: StepParts) {
    this.#parts = parts
  }

  async run(handler: Handler<unknown>): Promise<ProcessOutcome> {
    const { start, services, policy } = this.#parts
    const { events } = services
    const moving: Handler<unknown> = async (context) => {
      this.#isPast = !(await this.#move(context.tx))
      // A record, where there is one, is completed all the same.
      return this.#isPast ? undefined : handler(context)
    }
    const explain: Explain<unknown> = (error) =>
      error instanceof NotMoved ? judged(error.verdict, start, services, policy) : undefined
    const outcome = await inTransaction(start, moving, services, { explain })
    if (outcome.status !== 'completed') return outcome
    const { key } = start
    if (this.#isPast) {
      events.emit('duplicate', () => ({ key, source: 'state' }))
      return { status: 'duplicate', result: undefined }
    }
    if (start.epoch === 0) events.emit('completed', () => ({ key, epoch: 0 }))
    return outcome
  }

  /** Answers whether the row was moved now, and not before. @throws NotMoved which ends the transaction. */
  async #move(tx: unknown): Promise<boolean> {
    const { machine, reading, table, policy } = this.#parts
    const { id, transition, from, to } = reading
    for (let count = 0; count < MOVES_MAX; count += 1) {
      const answer = await table.move(tx, { id, from, to })
      if (answer === 'moved') return true
      if (answer === 'unfit-id') throw new NotMoved({ as: 'unfit-id' })
      const state = await table.read(tx, id)
      if (state === undefined && policy.onMissingRow === 'ack') return false
      if (state === undefined) throw new NotMoved({ as: 'missing-row' })
      const place = machine.place(transition, state)
      if (place === 'past') return false
      if (place !== 'here') throw new NotMoved({ as: place, transition })
    }
    throw new NotMoved({ as: 'behind', transition })
  }
}

function requireStateStore(settings: CheckedSettings): void {
  requireTransactions('stateMachine', settings)
  const without = missingMethod(settings.store, ['stateTable'])
  if (without === undefined) return
  throw new OptionError(
    `strategy: expected a store that moves states for 'stateMachine', received ${without}; ` +
      `use the store of the database in which the rows are`,
  )
}
