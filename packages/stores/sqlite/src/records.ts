import type { DatabaseSync } from 'node:sqlite'
import type {
  ClaimAnswer,
  ClaimRequest,
  ClaimUpdate,
  CompleteUpdate,
  StoredRecord,
  UpdateAnswer,
} from '@oncemq/core/store'
import { DONE, FREE, RUNNING, prepareStatements } from './statements.ts'
import type { RecordRow, Statements } from './statements.ts'

const STATE_NAMES = Object.freeze({ [FREE]: 'free', [RUNNING]: 'running', [DONE]: 'done' } as const)

/** The protocol's steps on the table, each inside a transaction that the caller has open and commits. */
export class Records {
  readonly #statements: Statements

  constructor(database: DatabaseSync, table: string) {
    this.#statements = prepareStatements(database, table)
  }

  nowMs(): number {
    return (this.#statements.now.get() as unknown as { nowMs: number }).nowMs
  }

  claim(request: ClaimRequest, nowMs: number): ClaimAnswer {
    const { id, claimId, fingerprint = null, label = null } = request
    const leaseUntilMs = nowMs + request.leaseMs
    const expiresAtMs = leaseUntilMs + request.retentionMs
    const { changes } = this.#statements.insert.run(
      id,
      claimId,
      leaseUntilMs,
      expiresAtMs,
      fingerprint,
      label,
    )
    if (changes === 1) return { status: 'granted', epoch: 1, attempt: 1 }

    const found = this.#find(id) as RecordRow
    if (found.state === RUNNING && found.claimId === claimId) {
      this.#statements.renew.run(leaseUntilMs, expiresAtMs, id, claimId)
      return { status: 'granted', epoch: found.epoch, attempt: found.attempts }
    }
    const answer = answerOf(found, fingerprint, nowMs)
    if (answer !== undefined) return answer
    const epoch = found.epoch + 1
    const attempt = found.state === DONE ? 1 : found.attempts + 1
    this.#statements.take.run(claimId, epoch, attempt, leaseUntilMs, expiresAtMs, fingerprint, label, id)
    return { status: 'granted', epoch, attempt }
  }

  update(update: ClaimUpdate, nowMs: number): UpdateAnswer {
    if (this.#change(update, nowMs) === 1) return 'ok'
    return update.op === 'complete' && this.isCompleted(update) ? 'ok' : 'lost'
  }

  /** Whether this very claim has completed the record already. */
  isCompleted({ id, claimId }: CompleteUpdate): boolean {
    const found = this.#find(id)
    return found?.state === DONE && found.claimId === claimId
  }

  inspect(id: string, nowMs: number): StoredRecord | undefined {
    const found = this.#find(id)
    if (found === undefined) return undefined
    return {
      state: STATE_NAMES[found.state],
      epoch: found.epoch,
      attempts: found.attempts,
      leaseRemainingMs: found.state === RUNNING ? found.leaseUntilMs - nowMs : 0,
      expiresInMs: found.expiresAtMs - nowMs,
      fingerprint: found.fingerprint ?? undefined,
      label: found.label ?? undefined,
      result: found.result ?? undefined,
    }
  }

  forget(id: string): void {
    this.#statements.forget.run(id)
  }

  sweep(limit: number, nowMs: number): number {
    return Number(this.#statements.sweep.run(nowMs, limit).changes)
  }

  #find(id: string): RecordRow | undefined {
    return this.#statements.find.get(id) as unknown as RecordRow | undefined
  }

  #change(update: ClaimUpdate, nowMs: number): number | bigint {
    const { renew, complete, release } = this.#statements
    const { id, claimId, retentionMs } = update
    switch (update.op) {
      case 'renew': {
        const leaseUntilMs = nowMs + update.leaseMs
        return renew.run(leaseUntilMs, leaseUntilMs + retentionMs, id, claimId).changes
      }
      case 'complete':
        return complete.run(nowMs + retentionMs, update.result ?? null, id, claimId).changes
      case 'release':
        return release.run(nowMs + retentionMs, update.attempts, id, claimId).changes
    }
  }
}

/** What a record of another claim says to this one; `undefined` when it may be granted. */
function answerOf(found: RecordRow, fingerprint: string | null, nowMs: number): ClaimAnswer | undefined {
  const isExpired = found.expiresAtMs <= nowMs
  if (found.state === DONE) {
    if (isExpired) return undefined
    return {
      status: 'done',
      fingerprint: found.fingerprint ?? undefined,
      result: found.result ?? undefined,
    }
  }
  const areKnown = found.fingerprint !== null && fingerprint !== null
  if (areKnown && found.fingerprint !== fingerprint && !isExpired) return { status: 'conflict' }
  if (found.state === FREE || found.leaseUntilMs <= nowMs) return undefined
  return { status: 'busy', epoch: found.epoch, leaseRemainingMs: found.leaseUntilMs - nowMs }
}
