import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { AdvanceUpdate, LogRequest, LogTaken, LogUpdate, UpdateAnswer } from '@oncemq/core/store'
import { offsetOf, storedOffset } from '@oncemq/core/store'

/** What `take` answers. Offsets as text: they may be greater than a number can be. */
interface LogRow {
  readonly epoch: number
  readonly next: string
  readonly wasHeld: number
  readonly started: string
  readonly starts: number
}

type Statements = ReturnType<typeof statementsOf>

/** Every statement on the table of the logs, as those of the records: inside a transaction. */
function statementsOf(database: DatabaseSync, table: string) {
  const logs = `"${table}_logs"`
  const prepare = (sql: string): StatementSync => database.prepare(sql)
  const row = 'id = unhex(?) AND epoch = ?'
  return {
    // id, label -> the row as it was taken. `was_held` is there since an update cannot answer old values.
    take: prepare(`
      INSERT INTO ${logs} (id, epoch, next_offset, started_offset, starts, is_held, was_held, label)
      VALUES (unhex(?), 1, -1, -1, 0, 1, 0, ?)
      ON CONFLICT (id) DO UPDATE
        SET epoch = epoch + 1, was_held = is_held, is_held = 1, label = excluded.label
      RETURNING epoch, CAST(next_offset AS TEXT) AS next, was_held AS wasHeld,
        CAST(started_offset AS TEXT) AS started, starts`),

    // The next three -> 1 row changed if the row is of this epoch, else 0.

    // next, id, epoch, from.
    advance: prepare(`UPDATE ${logs} SET next_offset = ? WHERE ${row} AND next_offset = ?`),

    // offset, attempt, offset, id, epoch.
    start: prepare(`
      UPDATE ${logs} SET starts = CASE WHEN started_offset = ? THEN starts + 1 ELSE ? END, started_offset = ?
      WHERE ${row}`),

    // id, epoch.
    release: prepare(`UPDATE ${logs} SET is_held = 0 WHERE ${row}`),

    // id, offset.
    unstart: prepare(`
      UPDATE ${logs} SET starts = starts - 1 WHERE id = unhex(?) AND started_offset = ? AND starts > 0`),

    // id, epoch, next -> a row if it is there.
    isAt: prepare(`SELECT 1 FROM ${logs} WHERE ${row} AND next_offset = ?`),
  }
}

/** How far logs are done, one row for each, each step inside a transaction that the caller commits. */
export class Logs {
  readonly #prepare: () => Statements
  #prepared: Statements | undefined

  constructor(database: DatabaseSync, table: string) {
    this.#prepare = () => statementsOf(database, table)
  }

  /** Not before they are used: where teams make the tables themselves, this one may be missing. */
  get #statements(): Statements {
    this.#prepared ??= this.#prepare()
    return this.#prepared
  }

  take({ id, label = null as never }: LogRequest): LogTaken {
    const { epoch, next, wasHeld, started, starts } = this.#statements.take.get(
      id,
      label,
    ) as unknown as LogRow
    return { epoch, next: offsetOf(next), wasHeld: wasHeld === 1, started: offsetOf(started), starts }
  }

  update(update: LogUpdate): UpdateAnswer {
    if (update.op === 'unstart') this.#statements.unstart.run(update.id, update.offset)
    else if (this.#change(update) !== 1) return update.op === 'advance' && this.isAt(update) ? 'ok' : 'lost'
    return 'ok'
  }

  /** Whether this very epoch has moved the row there already. */
  isAt({ id, epoch, next }: AdvanceUpdate): boolean {
    return this.#statements.isAt.get(id, epoch, next) !== undefined
  }

  #change(update: Exclude<LogUpdate, { op: 'unstart' }>): number | bigint {
    const { advance, start, release } = this.#statements
    const { id, epoch } = update
    switch (update.op) {
      case 'advance':
        return advance.run(update.next, id, epoch, storedOffset(update.from)).changes
      case 'start':
        return start.run(update.offset, update.attempt, update.offset, id, epoch).changes
      case 'release':
        return release.run(id, epoch).changes
    }
  }
}
