import type { AdvanceUpdate, LogRequest, LogTaken, LogUpdate, UpdateAnswer } from '@oncemq/core/store'
import { offsetOf, storedOffset } from '@oncemq/core/store'
import type { Connections } from './connection.ts'
import { boundedWaits } from './lock-waits.ts'
import type { LockWaits } from './lock-waits.ts'
import type { Tables } from './statements.ts'

export type LogStatements = ReturnType<typeof logStatementsOf>

/** Every statement on the table of the logs. Each is one step on one row, and a transaction of its own. */
export function logStatementsOf({ logs }: Pick<Tables, 'logs'>, { loneMs }: LockWaits) {
  const row = 'id = $1::uuid AND epoch = $2::bigint'
  return {
    // id, label -> the row as it was taken. `was_held` is there since an update cannot answer old values.
    take: `
      INSERT INTO ${logs} AS log (id, epoch, next_offset, started_offset, starts, is_held, was_held, label)
      SELECT $1::uuid, 1, -1, -1, 0, true, false, $2::text WHERE ${boundedWaits(loneMs)}
      ON CONFLICT (id) DO UPDATE
        SET epoch = log.epoch + 1, was_held = log.is_held, is_held = true, label = EXCLUDED.label
      RETURNING json_build_object('epoch', log.epoch, 'next', log.next_offset::text,
        'wasHeld', log.was_held, 'started', log.started_offset::text, 'starts', log.starts)::text AS answer`,

    // id, epoch, from, next -> 'ok' if the row is at next by now, and of this epoch.
    advance: `
      WITH changed AS (
        UPDATE ${logs} SET next_offset = $4::bigint
        WHERE ${row} AND next_offset = $3::bigint AND ${boundedWaits(loneMs)} RETURNING id
      )
      SELECT CASE WHEN EXISTS (SELECT FROM changed) OR ${isAt(logs)} THEN 'ok' ELSE 'lost' END AS answer`,

    // id, epoch, offset, attempt -> 1 row changed if the row is of this epoch, else 0; as the next two.
    start: `
      UPDATE ${logs} SET started_offset = $3::bigint,
        starts = CASE WHEN started_offset = $3::bigint THEN starts + 1 ELSE $4::integer END
      WHERE ${row} AND ${boundedWaits(loneMs)}`,

    // id, epoch.
    release: `UPDATE ${logs} SET is_held = false WHERE ${row} AND ${boundedWaits(loneMs)}`,

    // id, offset.
    unstart: `
      UPDATE ${logs} SET starts = starts - 1
      WHERE id = $1::uuid AND started_offset = $2::bigint AND starts > 0 AND ${boundedWaits(loneMs)}`,
  }
}

/** Whether this epoch had moved the row there before the statement began. */
function isAt(logs: string): string {
  return (
    `EXISTS (SELECT FROM ${logs} WHERE id = $1::uuid AND epoch = $2::bigint ` +
    `AND next_offset = $4::bigint)`
  )
}

/** What `advance` takes. */
export function advanceValues({ id, epoch, from, next }: AdvanceUpdate): unknown[] {
  return [id, epoch, `${storedOffset(from)}`, `${next}`]
}

/** The answer of `take`. */
interface LogRow {
  readonly epoch: number
  readonly next: string
  readonly wasHeld: boolean
  readonly started: string
  readonly starts: number
}

/** How far logs are done, one row for each: see the contract's `LogStore`. */
export class Logs {
  readonly #connections: Connections
  readonly #statements: LogStatements

  constructor(connections: Connections, statements: LogStatements) {
    this.#connections = connections
    this.#statements = statements
  }

  async take({ id, label }: LogRequest): Promise<LogTaken> {
    const [answer] = await this.#connections.run(this.#statements.take, [id, label])
    const { epoch, next, wasHeld, started, starts } = JSON.parse(answer as string) as LogRow
    return { epoch, next: offsetOf(next), wasHeld, started: offsetOf(started), starts }
  }

  async update(update: LogUpdate): Promise<UpdateAnswer> {
    if (update.op === 'advance') {
      const [answer] = await this.#connections.run(this.#statements.advance, advanceValues(update))
      return answer as UpdateAnswer
    }
    const changed = await this.#connections.change(this.#statements[update.op], valuesOf(update))
    return changed === 1 || update.op === 'unstart' ? 'ok' : 'lost'
  }
}

function valuesOf(update: Exclude<LogUpdate, AdvanceUpdate>): unknown[] {
  switch (update.op) {
    case 'start':
      return [update.id, update.epoch, `${update.offset}`, update.attempt]
    case 'unstart':
      return [update.id, `${update.offset}`]
    case 'release':
      return [update.id, update.epoch]
  }
}
