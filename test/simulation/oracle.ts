import type { ClaimAnswer, ClaimRequest, ClaimUpdate, UpdateAnswer } from '@oncemq/core/store'
import type { Plan } from './plan.ts'

/** A start of a handler, as far as it has come. */
export interface Execution {
  readonly id: string
  readonly epoch: number
  readonly attempt: number
  readonly process: object
  readonly hasKey: boolean
  /** Whether its process was paused or has ended: then nobody can tell it that its lease is lost. */
  readonly excused: () => boolean
  readonly aborted: () => boolean
  running: boolean
}

/** What really happened to a key, seen where the store applies it and where handlers run. */
interface Life {
  epoch: number
  grants: number
  claimId: string | undefined
  /** Which process was granted the claim, and whether a handler has started under it. */
  owner: object | undefined
  hasStarted: boolean
  leaseUntilMs: number
  done: boolean
  doneUntilMs: number
  /** Starts since the attempts were last reset, and since ever. */
  starts: number
  startsEver: number
  /** Claims that counted as starts and could not be given back, since their process had no chance to. */
  ghosts: number
  ghostsEver: number
  /** Whether it was ever durably put aside. */
  isParked: boolean
  succeeded: number
  failures: number
  permanents: number
  /** How often a process ended under it for a reason of its own. */
  crashes: number
  effects: number
  isUnconfirmed: boolean
  readonly epochsStarted: Set<number>
  /** Claims that were released: a request that was long on its way may bring one back, for nobody. */
  readonly released: Set<string>
  /** Claims that were not granted: likewise. */
  readonly answered: Set<string>
  /** Claims that the store refused to be asked for again, or to be given back. */
  readonly refused: Set<string>
}

/**
 * Watches a run from outside and says what must never happen. It knows nothing of the core: it sees what the
 * store applied and which handlers ran.
 */
export class Oracle {
  readonly violations: string[] = []
  readonly history: string[] = []
  readonly #lives = new Map<string, Life>()
  readonly #executions = new Set<Execution>()
  readonly #disturbed = new WeakSet<object>()
  readonly #nowMs: () => number
  readonly #plan: Plan
  isExcusedFromHolding = false
  /** Suspects wait for one that waits for the store no longer than for any other: see Isolation. */
  sawOutage = false

  constructor(nowMs: () => number, plan: Plan) {
    this.#nowMs = nowMs
    this.#plan = plan
  }

  /** Anything worth reading afterwards. */
  tell(what: string): void {
    this.history.push(`${Math.round(this.#nowMs())} ${what}`)
  }

  claimed(request: ClaimRequest, answer: ClaimAnswer, process: object): void {
    const life = this.#life(request.id)
    if (answer.status !== 'granted') {
      life.answered.add(request.claimId)
      return
    }
    const nowMs = this.#nowMs()
    this.tell(`granted ${name(request.id)} epoch ${answer.epoch} claim ${name(request.claimId)}`)
    if (nowMs < life.doneUntilMs) this.violated(`done-is-final: ${request.id} was granted after it was done`)
    if (life.claimId !== request.claimId) {
      if (life.claimId !== undefined && nowMs < life.leaseUntilMs) {
        this.violated(`one-claim: ${request.id} was granted while a claim was live`)
      }
      if (answer.epoch <= life.epoch)
        this.violated(`epochs-rise: ${request.id} from ${life.epoch} to ${answer.epoch}`)
      this.#expectToldOf(request.id)
      this.#countGhost(life, process, request.claimId)
      if (life.done) this.#startsAfresh(life)
      life.grants += 1
      life.hasStarted = false
    }
    const { epoch } = answer
    const leaseUntilMs = nowMs + request.leaseMs
    Object.assign(life, { epoch, claimId: request.claimId, leaseUntilMs, owner: process, done: false })
  }

  /**
   * The store would not be told that a claim is given back, or asked what became of it: what it refuses is
   * not said for longer than the lease, since the key would be busy here for as long.
   */
  refused({ op = 'release', id, claimId }: Partial<ClaimUpdate>): void {
    if (op === 'release' && id !== undefined && claimId !== undefined) this.#life(id).refused.add(claimId)
  }

  updated(update: ClaimUpdate, answer: UpdateAnswer): void {
    if (answer === 'lost') return
    const life = this.#life(update.id)
    this.tell(`${update.op} ${name(update.id)} claim ${name(update.claimId)}${attemptsOf(update)}`)
    if (life.claimId !== update.claimId && !life.done) {
      this.violated(`owner-only: ${update.op} of ${update.id} by another claim`)
    }
    if (update.op === 'renew') life.leaseUntilMs = this.#nowMs() + update.leaseMs
    else life.leaseUntilMs = 0
    if (update.op === 'complete') {
      life.done = true
      life.doneUntilMs = this.#nowMs() + update.retentionMs
    }
    if (update.op === 'release') this.#released(update.id, life, update.attempts)
  }

  started(execution: Execution): void {
    const { id, epoch, attempt } = execution
    const life = this.#life(id)
    const { attemptsMax, strategy } = this.#plan
    this.#executions.add(execution)
    this.tell(`start ${name(id)} epoch ${epoch} attempt ${attempt}`)
    const isFirst = !life.epochsStarted.has(epoch)
    if (isFirst || !execution.hasKey) {
      life.starts += 1
      life.startsEver += 1
    }
    life.hasStarted = true
    life.epochsStarted.add(epoch)
    if (!execution.hasKey) return
    // A copy that was sent before its key was forgiven goes on from the starts that it tells.
    const counted = life.isParked ? life.startsEver + life.ghostsEver : life.starts + life.ghosts
    if (attempt > counted) {
      this.violated(`attempts-are-starts: ${id} was told attempt ${attempt} at start ${life.starts}`)
    }
    // A database may ask for a whole transaction again, handler included: there the commits count.
    if (strategy === 'transactional') return
    if (life.starts > attemptsMax + 1) this.violated(`starts-bounded: ${id} had ${life.starts} starts`)
    if (!isFirst) this.violated(`one-start-a-grant: ${id} epoch ${epoch} started twice`)
  }

  ended(execution: Execution, how: 'ok' | 'failed' | 'permanent'): void {
    execution.running = false
    this.#executions.delete(execution)
    this.tell(`end ${name(execution.id)} epoch ${execution.epoch} ${how}`)
    const life = this.#life(execution.id)
    if (how === 'ok') life.succeeded += 1
    else life.failures += 1
    if (how === 'permanent') life.permanents += 1
  }

  /** A handler was told to stop: if its time was over, that is a failure. */
  gaveUp(id: string): void {
    this.#life(id).failures += 1
  }

  /** A process was paused or closed: what it could not tell is not its fault. */
  disturbed(process: object): void {
    this.#disturbed.add(process)
  }

  /** A process ended, by a handler of its own (`poison`) or for another reason. */
  crashed(process: object, poison: string | undefined): void {
    this.disturbed(process)
    for (const execution of Array.from(this.#executions)) {
      if (execution.process !== process) continue
      execution.running = false
      this.#executions.delete(execution)
      if (poison === undefined || execution.id === poison) this.#life(execution.id).crashes += 1
    }
  }

  unconfirmed(id: string): void {
    this.#life(id).isUnconfirmed = true
  }

  /** The handler's writes are there, committed together with the record. */
  committed(id: string): void {
    const life = this.#life(id)
    life.effects += 1
    this.tell(`effect ${name(id)}`)
    if (life.effects > 1) this.violated(`one-effect: ${id} has ${life.effects} committed effects`)
  }

  /** Whether the last message of a key may go. */
  mayGo(id: string): boolean {
    const life = this.#life(id)
    return life.done || (id.startsWith(UNKEYED) || life.isUnconfirmed ? life.succeeded > 0 : false)
  }

  hasSucceeded(id: string): boolean {
    return this.#life(id).succeeded > 0
  }

  parked(id: string): void {
    this.#life(id).isParked = true
  }

  /** Why a dead letter should not be; `undefined` when it is as it should be. */
  needless(id: string, reason: string, throwsOfMiddlewares: number): string | undefined {
    const life = this.#life(id)
    if (reason === 'permanent') return life.permanents > 0 ? undefined : 'no handler said so'
    if (reason !== 'attempts') return 'there is no such reason here'
    if (life.failures + life.crashes + throwsOfMiddlewares === 0) {
      const { attemptsMax } = this.#plan
      const isGhost = life.ghostsEver > 0 && life.startsEver <= attemptsMax
      const isExcused = isGhost || (this.sawOutage && life.startsEver > attemptsMax)
      return isExcused ? undefined : 'it never failed'
    }
    // What is spent is rejected again until it is forgiven, whatever spent it.
    if (life.permanents > 0) return undefined
    // Starts of messages without a key are as the broker counts.
    if (id.startsWith(UNKEYED) || throwsOfMiddlewares > 0) return undefined
    const counted = life.startsEver + life.ghostsEver
    return counted >= this.#plan.attemptsMax ? undefined : `it had ${life.startsEver} starts`
  }

  stuck(what: string): void {
    this.violated(`ends: ${what}`)
  }

  violated(what: string): void {
    this.tell(`VIOLATED ${what}`)
    this.violations.push(what)
  }

  #released(id: string, life: Life, attempts: number): void {
    this.#countStray(life, attempts)
    // In a transaction, a start that the store has rolled back is none.
    if (this.#plan.strategy === 'transactional') life.starts = Math.min(life.starts, attempts)
    if (attempts === 0 && life.starts > 0) {
      if (!life.isParked) this.violated(`reset-when-durable: ${id} starts afresh and is put aside nowhere`)
      this.#startsAfresh(life)
    }
    if (life.claimId !== undefined) life.released.add(life.claimId)
    life.claimId = undefined
    life.owner = undefined
  }

  /**
   * A request that was long on its way brought a released claim back, and so was its release, which says once
   * more what the attempts were then: the store applies both, for nobody, and cannot know better. It may have
   * forgotten starts since then, or count some that were none.
   */
  #countStray(life: Life, attempts: number): void {
    const { claimId, hasStarted, released, starts, ghosts } = life
    if (claimId === undefined || hasStarted || !released.has(claimId)) return
    const untold = Math.max(0, attempts - starts - ghosts)
    life.ghosts += untold
    life.ghostsEver += untold
    life.starts = Math.min(starts, attempts)
  }

  #startsAfresh(life: Life): void {
    Object.assign(life, { starts: 0, ghosts: 0 })
  }

  /** A claim under which nothing started, taken over when its lease was over. */
  #countGhost(life: Life, process: object, next: string): void {
    const { claimId, owner } = life
    if (claimId === undefined || life.hasStarted || life.done || owner === undefined) return
    // Nor is one by which a key was to be forgiven, and that was not answered.
    const isOld = [claimId, next].some((each) => life.answered.has(each))
    const isUntold = life.refused.has(claimId)
    const isStray = isOld || isUntold || life.released.has(claimId) || life.isParked
    if (owner === process && !this.#disturbed.has(owner) && !isStray) return
    life.ghosts += 1
    life.ghostsEver += 1
  }

  /** A handler must have been told before another worker is granted its key. */
  #expectToldOf(id: string): void {
    for (const execution of this.#executions) {
      if (execution.id !== id || !execution.running || execution.excused() || execution.aborted()) continue
      this.violated(`told-in-time: ${id} epoch ${execution.epoch} runs on unwarned while another is granted`)
    }
  }

  #life(id: string): Life {
    const known = this.#lives.get(id)
    if (known !== undefined) return known
    const life: Life = {
      epoch: 0,
      grants: 0,
      claimId: undefined,
      owner: undefined,
      hasStarted: false,
      leaseUntilMs: 0,
      done: false,
      doneUntilMs: 0,
      starts: 0,
      startsEver: 0,
      ghosts: 0,
      ghostsEver: 0,
      isParked: false,
      succeeded: 0,
      failures: 0,
      permanents: 0,
      crashes: 0,
      effects: 0,
      isUnconfirmed: false,
      epochsStarted: new Set(),
      released: new Set(),
      answered: new Set(),
      refused: new Set(),
    }
    this.#lives.set(id, life)
    return life
  }
}

/** How the ids of messages without a key begin here, which have no record. */
export const UNKEYED = 'message-'

function name(id: string): string {
  return id.startsWith(UNKEYED) ? id : id.slice(0, 4)
}

function attemptsOf(update: ClaimUpdate): string {
  return update.op === 'release' ? ` attempts ${update.attempts}` : ''
}
