import type { AdvanceUpdate, LogRequest, LogTaken, LogUpdate, UpdateAnswer } from '@oncemq/core/store'
import { offsetOf, StoreError, storedOffset } from '@oncemq/core/store'
import type { MysqlHeader, MysqlRow } from './client.ts'
import type { Connections } from './connection.ts'
import { hex, integer, text } from './literals.ts'
import type { Tables } from './statements.ts'

export type LogStatements = ReturnType<typeof logStatementsOf>

/** Every statement on the table of the logs. Each is one step on one row. */
export function logStatementsOf({ logs }: Pick<Tables, 'logs'>) {
  const row = ({ id, epoch }: Row): string => `id = ${hex(id)} AND epoch = ${integer(epoch)}`
  return {
    // -> insertId 0 for a new row, whose epoch is 1; else the epoch. `was_held` is assigned before `is_held`,
    // and answers what that was: columns are assigned from left to right.
    take: ({ id, label }: LogRequest) =>
      `INSERT INTO ${logs} (id, epoch, next_offset, started_offset, starts, is_held, was_held, label) ` +
      `VALUES (${hex(id)}, 1, -1, -1, 0, 1, 0, ${text(label)}) ON DUPLICATE KEY UPDATE ` +
      `${logs}.epoch = LAST_INSERT_ID(${logs}.epoch + 1), ${logs}.was_held = ${logs}.is_held, ` +
      `${logs}.is_held = 1, ${logs}.label = ${text(label)}`,

    // -> the row. Offsets as text: they may be greater than a number can be.
    taken: ({ id }: LogRequest) =>
      `SELECT CAST(next_offset AS CHAR), was_held, CAST(started_offset AS CHAR), starts ` +
      `FROM ${logs} WHERE id = ${hex(id)}`,

    // -> 1 affected row if the log was moved, else 0; also in the handler's transaction.
    advance: (update: AdvanceUpdate) =>
      `UPDATE ${logs} SET next_offset = ${update.next} ` +
      `WHERE ${row(update)} AND next_offset = ${storedOffset(update.from)}`,

    // Starts are assigned first, by the old offset.
    start: (update: Extract<LogUpdate, { op: 'start' }>) =>
      `UPDATE ${logs} SET starts = IF(started_offset = ${update.offset}, starts + 1, ` +
      `${integer(update.attempt)}), started_offset = ${update.offset} WHERE ${row(update)}`,

    release: (update: Row) => `UPDATE ${logs} SET is_held = 0 WHERE ${row(update)}`,

    unstart: ({ id, offset }: Extract<LogUpdate, { op: 'unstart' }>) =>
      `UPDATE ${logs} SET starts = starts - 1 ` +
      `WHERE id = ${hex(id)} AND started_offset = ${offset} AND starts > 0`,

    // -> epoch and offset as they are committed, whatever this transaction's snapshot has.
    standing: ({ id }: Pick<Row, 'id'>) =>
      `SELECT epoch, CAST(next_offset AS CHAR) FROM ${logs} WHERE id = ${hex(id)} LOCK IN SHARE MODE`,
  }
}

interface Row {
  readonly id: string
  readonly epoch: number
}

/** How far logs are done, one row for each: see the contract's `LogStore`. */
export class Logs {
  readonly #connections: Connections
  readonly #statements: LogStatements

  constructor(connections: Connections, statements: LogStatements) {
    this.#connections = connections
    this.#statements = statements
  }

  /**
   * MySQL answers a statement that writes by numbers alone, so that the row is read afterwards. If another
   * worker has taken it by then, it is read as that has it: nothing can be done by this epoch any more.
   */
  async take(log: LogRequest): Promise<LogTaken> {
    const { take, taken } = this.#statements
    const { header, rows } = await this.#connections.writeAndRead(take(log), { next: () => taken(log) })
    const [row] = rows
    if (row !== undefined) return takenOf(row, Number(header.insertId) || 1)
    throw new StoreError(
      'ONCEMQ_STORE_BUSY',
      'MysqlStore: expected the row of a log that was taken, received none; leave the table to the store',
    )
  }

  async update(update: LogUpdate): Promise<UpdateAnswer> {
    const { header, rows } = await this.#connections.writeAndRead(this.#sqlOf(update), {
      next: (answer) => (isMoved(answer) ? undefined : this.#statements.standing(update)),
    })
    return isMoved(header) ? 'ok' : standingAnswer(update, rows)
  }

  #sqlOf(update: LogUpdate): string {
    const { advance, start, release, unstart } = this.#statements
    switch (update.op) {
      case 'advance':
        return advance(update)
      case 'start':
        return start(update)
      case 'release':
        return release(update)
      case 'unstart':
        return unstart(update)
    }
  }
}

export function isMoved({ affectedRows }: MysqlHeader): boolean {
  return Number(affectedRows) === 1
}

/** By how the row stands that no statement has changed: a pool may count changed rows, not found ones. */
export function standingAnswer(update: LogUpdate, [row]: readonly MysqlRow[]): UpdateAnswer {
  if (update.op === 'unstart') return 'ok'
  if (row === undefined || Number(row[0]) !== update.epoch) return 'lost'
  return update.op !== 'advance' || BigInt(String(row[1])) === update.next ? 'ok' : 'lost'
}

function takenOf([next, wasHeld, started, starts]: MysqlRow, epoch: number): LogTaken {
  return {
    epoch,
    next: offsetOf(String(next)),
    wasHeld: Number(wasHeld) === 1,
    started: offsetOf(String(started)),
    starts: Number(starts),
  }
}
