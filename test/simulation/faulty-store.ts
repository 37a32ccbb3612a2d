import { StoreError } from '@oncemq/core/store'
import type {
  ClaimAnswer,
  ClaimRequest,
  ClaimUpdate,
  CompleteUpdate,
  StoredRecord,
  UpdateAnswer,
} from '@oncemq/core/store'
import type { MemoryStore, TransactionalStore } from '@oncemq/core'
import type { VirtualClock } from '@oncemq/core/testing'
import type { Dice } from './dice.ts'
import type { Oracle } from './oracle.ts'
import type { Plan } from './plan.ts'
import type { ProcessClock } from './process-clock.ts'

/** What the store's server does with one entry. A broken one is a mutant that the oracle must catch. */
export interface Server {
  claim(request: ClaimRequest): Promise<ClaimAnswer>
  update(update: ClaimUpdate): Promise<UpdateAnswer>
  /** Whether a transaction commits whose completion was answered so. */
  commits(answer: UpdateAnswer): boolean
}

/** A server that does what it should. */
export function soundServer(memory: MemoryStore): Server {
  return {
    claim: async (request) => (await memory.claim([request]))[0] as ClaimAnswer,
    update: async (update) => (await memory.update([update]))[0] as UpdateAnswer,
    commits: (answer) => answer === 'ok',
  }
}

/** What the handler of the transactional strategy writes with: its writes, not yet committed. */
export interface Writes {
  readonly ids: string[]
  /** Whether the handler has lost the connection. */
  isCut: boolean
}

export interface StoreWorld {
  readonly clock: VirtualClock
  readonly dice: Dice
  readonly oracle: Oracle
  readonly plan: Plan
  readonly server: Server
  readonly memory: MemoryStore
  /** Whether faults happen still. */
  readonly isFaulty: () => boolean
  /** Whether the server refuses all connections now. */
  readonly isDown: () => boolean
  /** Whether it answers small questions, and fails at the work. */
  readonly isBrownedOut: () => boolean
  /** Whether it answers that it will not. */
  readonly isRefusing: () => boolean
}

/**
 * One process's connection to the shared store. Requests and replies take time, overtake each other, get
 * lost, come after errors, apply in part; what the server applied is told to the oracle.
 */
export class FaultyStore implements TransactionalStore<Writes> {
  readonly name = 'simulated'
  readonly guarantees
  readonly batching
  readonly #world: StoreWorld
  readonly #process: ProcessClock

  constructor(world: StoreWorld, process: ProcessClock) {
    const { batchMax, batchesInFlightMax, batchMin, light } = world.plan
    this.#world = world
    this.#process = process
    this.guarantees = {
      ...world.memory.guarantees,
      transactional: true,
      renewsInTransaction: true,
      sharedBy: 'network' as const,
    }
    this.batching = { batchMax, batchesInFlightMax, batchMin: Math.min(batchMin, batchMax), light }
  }

  async open() {
    return []
  }

  async close() {}

  claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    return this.#call(batch, async (request) => {
      const answer = await this.#world.server.claim(request)
      this.#world.oracle.claimed(request, answer, this.#process)
      return answer
    })
  }

  update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    return this.#call(batch, (update) => this.#update(update))
  }

  inspect(ids: readonly string[]): Promise<readonly (StoredRecord | undefined)[]> {
    return this.#call(ids, async (id) => (await this.#world.memory.inspect([id]))[0])
  }

  async forget(ids: readonly string[]): Promise<void> {
    await this.#call(ids, (id) => this.#world.memory.forget([id]))
  }

  transaction(work: (tx: Writes) => Promise<CompleteUpdate>, signal?: AbortSignal): Promise<UpdateAnswer> {
    return new Promise((resolve, reject) => {
      const abort = (): void => reject(signal?.reason as Error)
      signal?.addEventListener('abort', abort)
      this.#transaction(work, signal)
        .then(resolve, reject)
        .finally(() => signal?.removeEventListener('abort', abort))
    })
  }

  async #transaction(
    work: (tx: Writes) => Promise<CompleteUpdate>,
    signal: AbortSignal | undefined,
  ): Promise<UpdateAnswer> {
    const { dice, oracle, plan } = this.#world
    const chance = (probability: number): boolean => this.#world.isFaulty() && dice.chance(probability)
    await this.#pass()
    if (chance(plan.chances.requestLost)) return never()
    this.#mayFail()
    const writes: Writes = { ids: [], isCut: false }
    const completion = await work(writes)
    await this.#pass()
    if (writes.isCut) throw unavailable()
    if (chance(plan.chances.errorBefore)) {
      throw new StoreError('ONCEMQ_TRANSACTION_CONFLICT', 'simulated: run it again')
    }
    // What the database refuses at the end counts as a failure of the handler, whose writes it may be about.
    if (this.#world.isRefusing()) oracle.gaveUp(completion.id)
    this.#mayFail()
    if (chance(plan.chances.requestLost)) return never()
    signal?.throwIfAborted()
    const answer = await this.#update(completion)
    if (this.#world.server.commits(answer)) for (const id of writes.ids) oracle.committed(id)
    await this.#pass()
    if (chance(plan.chances.replyLost)) return never()
    if (chance(plan.chances.errorAfter)) throw new StoreError('ONCEMQ_COMMIT_UNKNOWN', 'simulated: no reply')
    return answer
  }

  #mayFail(): void {
    if (this.#world.isDown()) throw unavailable()
    if (this.#world.isRefusing()) throw refused()
  }

  async #update(update: ClaimUpdate): Promise<UpdateAnswer> {
    const answer = await this.#world.server.update(update)
    this.#world.oracle.updated(update, answer)
    return answer
  }

  async #call<Entry, Answer>(
    batch: readonly Entry[],
    apply: (entry: Entry) => Promise<Answer>,
  ): Promise<readonly Answer[]> {
    const { dice, plan, isFaulty, isDown, isBrownedOut, isRefusing } = this.#world
    const { chances } = plan
    const chance = (probability: number): boolean => isFaulty() && dice.chance(probability)
    await this.#pass()
    if (isDown()) return dice.chance(0.5) ? never() : Promise.reject(unavailable())
    if (isRefusing()) {
      for (const entry of batch as readonly Partial<ClaimUpdate>[]) this.#world.oracle.refused(entry)
      throw refused()
    }
    if (isBrownedOut() && !isSmall(batch)) return never()
    if (chance(chances.requestLost)) return never()
    if (chance(chances.errorBefore)) throw unavailable()
    const entries = chance(chances.partly) ? batch.slice(0, dice.integer(0, batch.length)) : batch
    const answers: Answer[] = []
    for (const entry of entries) answers.push(await apply(entry))
    await this.#pass()
    if (chance(chances.replyLost)) return never()
    if (entries.length < batch.length || chance(chances.errorAfter)) throw unavailable()
    return answers
  }

  /**
   * One way through the network, into the server or back into a process that may be paused or dead by then.
   */
  #pass(): Promise<void> {
    const { clock, dice, plan, isFaulty } = this.#world
    const isSlow = isFaulty() && dice.chance(plan.chances.slow)
    const delayMs = isSlow ? dice.integer(0, 3 * plan.leaseMs) : dice.integer(0, plan.storeMsMax)
    return new Promise((resolve) => {
      clock.after(delayMs, () => this.#process.happen(resolve))
    })
  }
}

function never(): Promise<never> {
  return new Promise(() => {})
}

function unavailable(): StoreError {
  return new StoreError('ONCEMQ_STORE_UNAVAILABLE', 'simulated: down')
}

function refused(): StoreError {
  return new StoreError('ONCEMQ_STORE_REFUSED', 'simulated: no right to write')
}

/** What the self-test asks, which is all that a store in a brownout answers. */
function isSmall(batch: readonly unknown[]): boolean {
  return batch.every((entry) => {
    const { label, op } = entry as Partial<ClaimRequest & ClaimUpdate>
    return label === 'oncemq self-test' || op === 'complete'
  })
}
