import type { AdvanceUpdate, LogRequest, LogTaken, TransactionEnd, UpdateAnswer } from '@oncemq/core/store'
import { MapLogs, type MapLog } from '../map-logs.ts'
import { MapStore, type MapTransaction } from '../map-store.ts'
import type { BrokenStore } from './broken-store.ts'

const caughtBy = ['logs']

function withLogs(Logs: typeof MapLogs): typeof MapStore {
  return class extends MapStore {
    override logs = new Logs(this.database.logs)
  }
}

/** Logs that are taken, moved and counted wrongly. */
export const brokenLogs: readonly BrokenStore[] = [
  {
    fault: 'lets whoever had a log before move it',
    caughtBy,
    Store: withLogs(
      class extends MapLogs {
        override isOwned(): boolean {
          return true
        }
      },
    ),
  },
  {
    fault: 'gives a log with the epoch that it had',
    caughtBy,
    Store: withLogs(
      class extends MapLogs {
        override epochOf({ epoch }: MapLog): number {
          return Math.max(1, epoch)
        }
      },
    ),
  },
  {
    fault: 'takes no log that is held',
    caughtBy,
    Store: withLogs(
      class extends MapLogs {
        override take(log: LogRequest): LogTaken {
          if (this.rows.get(log.id)?.isHeld === true) throw new Error('held')
          return super.take(log)
        }
      },
    ),
  },
  {
    fault: 'moves a log from wherever it is',
    caughtBy,
    Store: withLogs(
      class extends MapLogs {
        override isAt({ next }: MapLog, from: bigint | undefined): boolean {
          return (next ?? 0n) <= (from ?? 0n)
        }
      },
    ),
  },
  {
    fault: 'moves a log where it is already',
    caughtBy,
    Store: withLogs(
      class extends MapLogs {
        override isAt(log: MapLog, from: bigint | undefined): boolean {
          return super.isAt(log, from) || log.next === 5n
        }
      },
    ),
  },
  {
    fault: 'takes a step whose commit was not known for lost',
    caughtBy,
    Store: withLogs(
      class extends MapLogs {
        override isRepeated(): boolean {
          return false
        }
      },
    ),
  },
  {
    fault: 'takes the step of another epoch for its own, where it leads there',
    caughtBy,
    Store: withLogs(
      class extends MapLogs {
        override standing(step: AdvanceUpdate): 'before' | 'there' | 'lost' {
          const answer = super.standing(step)
          return this.rows.get(step.id)?.next === step.next && answer === 'lost' ? 'there' : answer
        }
      },
    ),
  },
  {
    fault: 'keeps offsets as numbers',
    caughtBy,
    Store: withLogs(
      class extends MapLogs {
        override kept(offset: bigint): bigint {
          return BigInt(Number(offset))
        }
      },
    ),
  },
  {
    fault: 'keeps all logs in one row',
    caughtBy,
    Store: withLogs(
      class extends MapLogs {
        override keyOf(): string {
          return 'log'
        }
      },
    ),
  },
  {
    fault: 'never releases a log',
    caughtBy,
    Store: withLogs(
      class extends MapLogs {
        override release(): void {}
      },
    ),
  },
  {
    fault: 'counts no second start',
    caughtBy,
    Store: withLogs(
      class extends MapLogs {
        override start(log: MapLog, offset: bigint, attempt: number): void {
          Object.assign(log, { started: offset, starts: attempt })
        }
      },
    ),
  },
  {
    fault: 'counts the starts of another record on',
    caughtBy,
    Store: withLogs(
      class extends MapLogs {
        override start(log: MapLog, offset: bigint, attempt: number): void {
          Object.assign(log, { started: offset, starts: log.starts === 0 ? attempt : log.starts + 1 })
        }
      },
    ),
  },
  {
    fault: 'takes back starts of whatever record, and more than there were',
    caughtBy,
    Store: withLogs(
      class extends MapLogs {
        override unstart(id: string): UpdateAnswer {
          const log = this.rows.get(id)
          if (log !== undefined) log.starts -= 1
          return 'ok'
        }
      },
    ),
  },
  {
    fault: 'commits the writes of a worker that has lost its log',
    caughtBy,
    Store: class extends MapStore {
      override end({ rows, ...rest }: MapTransaction, end: TransactionEnd): UpdateAnswer {
        const answer = super.end({ rows: [], ...rest } as unknown as MapTransaction, end)
        this.database.rows.push(...rows)
        return answer
      }
    },
  },
  {
    fault: 'completes a record whose log is lost',
    caughtBy,
    Store: class extends MapStore {
      override end(tx: MapTransaction, end: TransactionEnd): UpdateAnswer {
        if (end.op !== 'complete' || end.advance === undefined) return super.end(tx, end)
        const { advance, ...completion } = end
        const answer = this.finish(tx, completion)
        if (answer === 'ok') this.logs.update(advance)
        return answer
      }
    },
  },
  {
    fault: 'moves a log whose record is lost',
    caughtBy,
    Store: class extends MapStore {
      override end(tx: MapTransaction, end: TransactionEnd): UpdateAnswer {
        if (end.op === 'complete' && end.advance !== undefined) {
          const answer = this.updateOne({ ...end, advance: undefined })
          if (answer === 'lost' && this.logs.standing(end.advance) === 'before') this.logs.move(end.advance)
          if (answer === 'lost') return answer
        }
        return super.end(tx, end)
      }
    },
  },
  {
    fault: 'moves a log although its handler has failed',
    caughtBy,
    Store: class extends MapStore {
      override failureOf(error: unknown): unknown {
        for (const log of this.database.logs.values()) log.next = 1n
        return error
      }
    },
  },
  {
    fault: 'releases a log that is not there',
    caughtBy,
    Store: withLogs(
      class extends MapLogs {
        override update(update: Parameters<MapLogs['update']>[0]): UpdateAnswer {
          return update.op === 'release' && !this.rows.has(update.id) ? 'ok' : super.update(update)
        }
      },
    ),
  },
  {
    fault: 'forgets where a log was when it is taken',
    caughtBy,
    Store: withLogs(
      class extends MapLogs {
        override take(log: LogRequest): LogTaken {
          return { ...super.take(log), next: undefined }
        }
      },
    ),
  },
]
