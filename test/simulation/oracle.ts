import type { ClaimAnswer, ClaimRequest, ClaimUpdate, UpdateAnswer } from '@oncemq/core/store'

/** A start of a handler, as far as it has come. */
export interface Execution {
  readonly id: string
  readonly epoch: number
  /** Whether its process was paused or has ended: then nobody can tell it that its lease is lost. */
  readonly excused: () => boolean
  readonly aborted: () => boolean
  running: boolean
}

/** What really happened to a record, seen where the store applies it. */
interface Life {
  epoch: number
  grants: number
  claimId: string | undefined
  leaseUntilMs: number
  done: boolean
  doneUntilMs: number
  starts: number
  succeeded: number
  effects: number
  readonly epochsStarted: Set<number>
}

/**
 * Watches a run from outside and says what must never happen. It knows nothing of the core: it sees what the
 * store applied, which handlers ran, and what the broker was told.
 */
export class Oracle {
  readonly violations: string[] = []
  readonly history: string[] = []
  readonly #lives = new Map<string, Life>()
  readonly #executions = new Set<Execution>()
  readonly #nowMs: () => number
  readonly #transactional: boolean

  constructor(nowMs: () => number, transactional: boolean) {
    this.#nowMs = nowMs
    this.#transactional = transactional
  }

  /** Anything worth reading afterwards. */
  tell(what: string): void {
    this.history.push(`${Math.round(this.#nowMs())} ${what}`)
  }

  claimed(request: ClaimRequest, answer: ClaimAnswer): void {
    if (answer.status !== 'granted') return
    const life = this.#life(request.id)
    const nowMs = this.#nowMs()
    this.tell(`granted ${request.id.slice(0, 4)} epoch ${answer.epoch} claim ${request.claimId.slice(0, 4)}`)
    if (nowMs < life.doneUntilMs) this.#violated(`done-is-final: ${request.id} was granted after it was done`)
    if (life.claimId !== request.claimId) {
      if (life.claimId !== undefined && nowMs < life.leaseUntilMs) {
        this.#violated(`one-claim: ${request.id} was granted while a claim was live`)
      }
      if (answer.epoch <= life.epoch)
        this.#violated(`epochs-rise: ${request.id} from ${life.epoch} to ${answer.epoch}`)
      this.#expectToldOf(request.id)
      life.grants += 1
    }
    Object.assign(life, {
      epoch: answer.epoch,
      claimId: request.claimId,
      leaseUntilMs: nowMs + request.leaseMs,
    })
  }

  updated(update: ClaimUpdate, answer: UpdateAnswer): void {
    if (answer === 'lost') return
    const life = this.#life(update.id)
    this.tell(`${update.op} ${update.id.slice(0, 4)} claim ${update.claimId.slice(0, 4)}`)
    if (life.claimId !== update.claimId && !life.done) {
      this.#violated(`owner-only: ${update.op} of ${update.id} by another claim`)
    }
    if (update.op === 'renew') life.leaseUntilMs = this.#nowMs() + update.leaseMs
    else life.leaseUntilMs = 0
    if (update.op === 'complete') {
      life.done = true
      life.doneUntilMs = this.#nowMs() + update.retentionMs
    }
    if (update.op === 'release') life.claimId = undefined
  }

  started(execution: Execution): void {
    const life = this.#life(execution.id)
    this.#executions.add(execution)
    this.tell(`start ${execution.id.slice(0, 4)} epoch ${execution.epoch}`)
    // A database may ask for a whole transaction again, handler included: there the commits count.
    if (this.#transactional) return
    life.starts += 1
    if (life.starts > life.grants) this.#violated(`starts-within-grants: ${execution.id} started more often`)
    if (life.epochsStarted.has(execution.epoch)) {
      this.#violated(`one-start-a-grant: ${execution.id} epoch ${execution.epoch} started twice`)
    }
    life.epochsStarted.add(execution.epoch)
  }

  ended(execution: Execution, succeeded: boolean): void {
    execution.running = false
    this.#executions.delete(execution)
    this.tell(`end ${execution.id.slice(0, 4)} epoch ${execution.epoch} ${succeeded ? 'ok' : 'failed'}`)
    if (succeeded) this.#life(execution.id).succeeded += 1
  }

  /** The handler's writes are there, committed together with the record. */
  committed(id: string): void {
    const life = this.#life(id)
    life.effects += 1
    this.tell(`effect ${id.slice(0, 4)}`)
    if (life.effects > 1) this.#violated(`one-effect: ${id} has ${life.effects} committed effects`)
  }

  /** The broker drops a message for good. `unconfirmed`: the one exception of the design. */
  acked(id: string, unconfirmed: boolean): void {
    const life = this.#life(id)
    this.tell(`ack ${id.slice(0, 4)}${unconfirmed ? ' unconfirmed' : ''}`)
    if (unconfirmed ? life.succeeded === 0 : !life.done) {
      this.#violated(`ack-after-done: ${id} was acked before it was done`)
    }
  }

  deadLettered(id: string, legitimate: boolean): void {
    this.tell(`dead-letter ${id.slice(0, 4)}`)
    if (!legitimate) this.#violated(`no-needless-dead-letter: ${id}`)
  }

  /** At the end: whoever was acked has had its effect. */
  finished(ids: Iterable<string>): void {
    for (const id of ids) {
      const life = this.#life(id)
      if (life.succeeded === 0) this.#violated(`nothing-lost: ${id} was acked, and no handler succeeded`)
      if (this.#transactional && life.effects !== 1)
        this.#violated(`one-effect: ${id} has ${life.effects} committed effects`)
    }
  }

  stuck(what: string): void {
    this.#violated(`ends: ${what}`)
  }

  /** A handler must have been told before another worker is granted its key. */
  #expectToldOf(id: string): void {
    for (const execution of this.#executions) {
      if (execution.id !== id || !execution.running || execution.excused() || execution.aborted()) continue
      this.#violated(`told-in-time: ${id} epoch ${execution.epoch} runs on unwarned while another is granted`)
    }
  }

  #violated(what: string): void {
    this.tell(`VIOLATED ${what}`)
    this.violations.push(what)
  }

  #life(id: string): Life {
    const known = this.#lives.get(id)
    if (known !== undefined) return known
    const life: Life = {
      epoch: 0,
      grants: 0,
      claimId: undefined,
      leaseUntilMs: 0,
      done: false,
      doneUntilMs: 0,
      starts: 0,
      succeeded: 0,
      effects: 0,
      epochsStarted: new Set(),
    }
    this.#lives.set(id, life)
    return life
  }
}
