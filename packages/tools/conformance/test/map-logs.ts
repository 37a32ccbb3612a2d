import type { AdvanceUpdate, LogRequest, LogTaken, LogUpdate, UpdateAnswer } from '@oncemq/core/store'

export interface MapLog {
  epoch: number
  next: bigint | undefined
  isHeld: boolean
  started: bigint | undefined
  starts: number
}

/** The smallest correct keeping of logs, each rule in a method of its own, as with the records. */
export class MapLogs {
  readonly rows: Map<string, MapLog>

  constructor(rows: Map<string, MapLog>) {
    this.rows = rows
  }

  take({ id }: LogRequest): LogTaken {
    const log = this.rows.get(this.keyOf(id)) ?? this.#new()
    const wasHeld = log.isHeld
    log.epoch = this.epochOf(log)
    log.isHeld = true
    this.rows.set(this.keyOf(id), log)
    const { epoch, next, started, starts } = log
    return { epoch, next, wasHeld, started, starts }
  }

  update(update: LogUpdate): UpdateAnswer {
    if (update.op === 'unstart') return this.unstart(update.id, update.offset)
    if (update.op === 'advance') {
      const standing = this.standing(update)
      if (standing === 'before') this.move(update)
      return standing === 'lost' ? 'lost' : 'ok'
    }
    const log = this.rows.get(this.keyOf(update.id))
    if (log === undefined || !this.isOwned(log, update)) return 'lost'
    if (update.op === 'release') this.release(log)
    else this.start(log, update.offset, update.attempt)
    return 'ok'
  }

  /** Where the row is: before the step, where the step leads, or not where its worker left it. */
  standing(step: AdvanceUpdate): 'before' | 'there' | 'lost' {
    const log = this.rows.get(this.keyOf(step.id))
    if (log === undefined || !this.isOwned(log, step)) return 'lost'
    if (this.isAt(log, step.from)) return 'before'
    return this.isRepeated(log, step) ? 'there' : 'lost'
  }

  move({ id, next }: AdvanceUpdate): void {
    const log = this.rows.get(this.keyOf(id))
    if (log !== undefined) log.next = this.kept(next)
  }

  keyOf(id: string): string {
    return id
  }

  epochOf({ epoch }: MapLog): number {
    return epoch + 1
  }

  isOwned(log: MapLog, { epoch }: { readonly epoch: number }): boolean {
    return log.epoch === epoch
  }

  isAt({ next }: MapLog, from: bigint | undefined): boolean {
    return next === from
  }

  isRepeated(log: MapLog, { next }: AdvanceUpdate): boolean {
    return log.next === next
  }

  kept(offset: bigint): bigint {
    return offset
  }

  release(log: MapLog): void {
    log.isHeld = false
  }

  start(log: MapLog, offset: bigint, attempt: number): void {
    log.starts = log.started === offset ? log.starts + 1 : attempt
    log.started = offset
  }

  unstart(id: string, offset: bigint): UpdateAnswer {
    const log = this.rows.get(this.keyOf(id))
    if (log?.started === offset && log.starts > 0) log.starts -= 1
    return 'ok'
  }

  #new(): MapLog {
    return { epoch: 0, next: undefined, isHeld: false, started: undefined, starts: 0 }
  }
}
