import type { Clock, TakenLog } from '@oncemq/core/broker'
import { pause, Semaphore } from '@oncemq/core/broker'
import type { OutgoingMessage } from '../client.ts'
import type {
  FencedProducer,
  PartitionOffsets,
  ProducerTransaction,
  RecordProducer,
  SendOptions,
  TopicPartition,
  TransactionClient,
  TransactionFault,
} from '../clients/port.ts'
import type { Endings, LastEndings } from './endings.ts'
import { settle, settlementOf } from './endings.ts'
import { errorOf, NotCommitted, outcomeOf } from './fault.ts'

/** A partition as a group has it. */
export interface GroupPartition extends TopicPartition {
  readonly groupId: string
}

export interface LogServices {
  readonly client: TransactionClient
  readonly clock: Clock
  /** What transactional ids begin with. */
  readonly transactionalId: string
  readonly transactionTimeoutMs: number
  /** Where a group without an offset begins. */
  readonly fromBeginning: boolean
  readonly endings: Endings
}

/** An older coordinator applies the offsets of a transaction just after it has ended. */
const OFFSETS_SETTLE_MS = 50
const OFFSETS_READ_MAX = 20
/** How long what runs may keep a log that is lost, before its producer is closed under it. */
const RELEASE_MS = 10_000
const TAKE_TRIES = 5
const TAKE_AGAIN_MS = 200
const STARTS = /^oncemq starts=(\d{1,6})$/

/**
 * One partition of a group, with the producer that alone may move the group's offset and send what its
 * handlers send: it has a transactional id of the partition's own. Whoever gets the partition takes it in
 * this order, so that nothing of the one before can happen after it was looked at:
 *
 *   same transactional id ──▶ who had it is fenced, its transaction aborted ──▶ offset read ──▶ taken
 *                                                                                               │
 *   lost ◀── fenced by the next one, or a commit whose outcome is not known ◀───────────────────┘
 *
 * The group keeps with its offset how often the record there was started, for what ends its process.
 */
export class PartitionLog implements TakenLog {
  readonly movesOffset = true
  readonly #place: GroupPartition
  readonly #producer: FencedProducer
  readonly #clock: Clock
  readonly #last: LastEndings
  readonly #lost = new AbortController()
  /** One transaction at a time. */
  readonly #turn = new Semaphore(1)
  /** Begun when it was taken, and not used yet. */
  #begun: ProducerTransaction | undefined
  #next: bigint
  readonly #startsFound: number
  #isHanded = false
  #isFresh = true
  /** Whether the broker was out of reach since what was ended last. */
  #isDoubtful = false
  #release: Promise<void> | undefined

  private constructor(
    place: GroupPartition,
    { producer, begun, clock, last }: Taken,
    { next, starts }: Position,
  ) {
    this.#place = place
    this.#producer = producer
    this.#begun = begun
    this.#clock = clock
    this.#last = last
    this.#next = next
    this.#startsFound = starts
  }

  /** @throws OncemqError while it cannot be had. */
  static async take(place: GroupPartition, services: LogServices): Promise<PartitionLog> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await PartitionLog.#take(place, services)
      } catch (error) {
        const { fault, cause } = error as NotTaken
        // Somebody else who took it at the same moment has won, and is fenced now.
        if (fault.kind !== 'fenced' || tries === TAKE_TRIES) throw errorOf(fault, cause)
        await pause(services.clock, TAKE_AGAIN_MS)
      }
    }
  }

  /** @throws NotTaken */
  static async #take(place: GroupPartition, services: LogServices): Promise<PartitionLog> {
    const { client, clock, transactionalId, transactionTimeoutMs, endings } = services
    const { groupId, topic, partition } = place
    // The group's name may have the separator in it, which would make two partitions one.
    const id = `${transactionalId}/${encodeURIComponent(groupId)}/${topic}/${partition}`
    const producer = client.producer(id, transactionTimeoutMs)
    try {
      let begun = await producer.begin()
      let position = await positionIn(place, services)
      const known = endings.get(id) ?? {}
      const settlement = settlementOf(known, position.next)
      if (settlement !== undefined) {
        await settle(settlement, groupId, begun)
        begun = await producer.begin()
        position = await positionIn(place, services)
      }
      // What a log of before does now is of no account. What was settled may be forgotten again.
      const last = settlement === undefined ? {} : { ...known }
      endings.set(id, last)
      return new PartitionLog(place, { producer, begun, clock, last }, position)
    } catch (error) {
      await producer.close()
      throw new NotTaken(producer.faultOf(error), error)
    }
  }

  get next(): bigint {
    return this.#next
  }

  get signal(): AbortSignal {
    return this.#lost.signal
  }

  /** How often the record at `next` was started by those who had the partition before. */
  get startsFound(): number {
    return this.#startsFound
  }

  /** Whether no record was started since it was taken. */
  get isFresh(): boolean {
    return this.#isFresh
  }

  isPast(offset: bigint): boolean {
    return offset < this.#next
  }

  startsBefore(offset: bigint): number {
    if (this.#isHanded || this.isPast(offset)) return 0
    this.#isHanded = true
    return this.#startsFound
  }

  /** Runs `work` while no other transaction of the partition is under way. */
  async exclusive<Value>(work: () => Promise<Value>): Promise<Value> {
    await this.#turn.acquire()
    try {
      return await work()
    } finally {
      this.#turn.release()
    }
  }

  /** @throws NotCommitted */
  async begin(): Promise<ProducerTransaction> {
    if (this.signal.aborted) throw new NotCommitted({ status: 'lost' })
    const begun = this.#begun
    this.#begun = undefined
    return begun ?? this.#ask(() => this.#beginAnew())
  }

  async #beginAnew(): Promise<ProducerTransaction> {
    const begun = await this.#producer.begin()
    const settlement = this.#isDoubtful ? settlementOf(this.#last, this.#next) : undefined
    if (settlement === undefined) return begun
    await settle(settlement, this.#place.groupId, begun)
    this.#isDoubtful = false
    return this.#producer.begin()
  }

  /**
   * Commits a transaction together with the group's offset. With `starts`, what is written down with it.
   * @throws NotCommitted; the log is lost then, since nobody knows what has become of the transaction.
   */
  async commit(transaction: ProducerTransaction, next: bigint, starts?: number): Promise<void> {
    const { groupId, topic, partition } = this.#place
    const metadata = starts === undefined ? {} : { metadata: `oncemq starts=${starts}` }
    this.#keepOpen(transaction)
    await this.#ask(async () => {
      // Who has lost the partition here need not wait to be fenced.
      if (this.signal.aborted) throw new NotCommitted({ status: 'lost' })
      await transaction.sendOffsets(groupId, [{ topic, partition, offset: `${next}`, ...metadata }])
      await transaction.commit()
    })
    if (next > this.#next) {
      this.#last.committed = { from: this.#next, next, outputs: transaction.outputs }
      this.#last.open = undefined
    }
    this.#next = next
    if (starts !== undefined) this.#isFresh = false
  }

  /** @throws NotCommitted; the log is lost then. */
  async abort(transaction: ProducerTransaction): Promise<void> {
    this.#keepOpen(transaction)
    await this.#ask(() => transaction.abort())
  }

  /**
   * Aborts one in which the broker was out of reach: it may have forgotten what was before it.
   * @throws NotCommitted; the log is lost then.
   */
  async giveUp(transaction: ProducerTransaction): Promise<void> {
    this.#isDoubtful = true
    await this.abort(transaction)
  }

  faultOf(error: unknown): TransactionFault {
    return this.#producer.faultOf(error)
  }

  /** What was taken is another's, or not as it was left. */
  lose(): void {
    this.#lost.abort()
  }

  async pass(next: bigint): Promise<boolean> {
    await this.#alone(next, async () => undefined)
    return !this.signal.aborted
  }

  /** Puts a record aside, and passes it, in one transaction. */
  async park(offset: bigint, topic: string, message: OutgoingMessage, options: SendOptions): Promise<void> {
    await this.#alone(offset + 1n, (transaction) => transaction.send(topic, [message], options))
  }

  release(): Promise<void> {
    this.#lost.abort()
    this.#release ??= this.#close()
    return this.#release
  }

  /** A transaction without a handler. @throws OncemqError when it did not commit, or is not known to have. */
  async #alone(next: bigint, work: (transaction: ProducerTransaction) => Promise<void>): Promise<void> {
    try {
      await this.exclusive(async () => {
        if (this.isPast(next - 1n)) return
        const transaction = await this.begin()
        try {
          await work(transaction)
        } catch (error) {
          const fault = this.faultOf(error)
          await (fault.kind === 'refused' ? this.abort(transaction) : this.giveUp(transaction))
          throw errorOf(fault, error)
        }
        await this.commit(transaction, next)
      })
    } catch (error) {
      if (!(error instanceof NotCommitted)) throw error
      const { outcome } = error
      throw 'error' in outcome ? outcome.error : errorOf({ kind: 'unavailable', name: outcome.status }, error)
    }
  }

  /** Without outputs there is nothing to end once more, and what was before stays the last that there was. */
  #keepOpen({ outputs }: ProducerTransaction): void {
    if (outputs.length > 0) this.#last.open = { from: this.#next, outputs }
  }

  async #ask<Answer>(call: () => Promise<Answer>): Promise<Answer> {
    try {
      return await call()
    } catch (error) {
      this.lose()
      if (error instanceof NotCommitted) throw error
      throw new NotCommitted(outcomeOf(this.faultOf(error), error))
    }
  }

  /** A transaction that is left open would keep readers waiting until the broker aborts it. */
  async #close(): Promise<void> {
    const given = new AbortController()
    await Promise.race([
      this.exclusive(async () => undefined).finally(() => given.abort()),
      pause(this.#clock, RELEASE_MS, given.signal),
    ])
    await this.#producer.close()
  }
}

/** What a record of the log is put aside with, where it is to pass the record at the same time. */
export function senderInto(
  log: TakenLog | undefined,
  offset: bigint,
): Pick<RecordProducer, 'send'> | undefined {
  if (!(log instanceof PartitionLog)) return undefined
  return { send: (topic, message, options) => log.park(offset, topic, message, options) }
}

interface Position {
  readonly next: bigint
  readonly starts: number
}

interface Taken {
  readonly producer: FencedProducer
  readonly begun: ProducerTransaction
  readonly clock: Clock
  readonly last: LastEndings
}

class NotTaken extends Error {
  readonly fault: TransactionFault

  constructor(fault: TransactionFault, cause: unknown) {
    super('not taken', { cause })
    this.fault = fault
  }
}

/** Offsets are read when all that the producer before has committed is among them. */
async function settledOffsets(
  { groupId, ...place }: GroupPartition,
  { client, clock }: LogServices,
): Promise<PartitionOffsets> {
  let offsets = await client.offsets(groupId, place)
  for (let read = 1; read < OFFSETS_READ_MAX; read += 1) {
    await pause(clock, OFFSETS_SETTLE_MS)
    const before = offsets.committed
    offsets = await client.offsets(groupId, place)
    const { committed } = offsets
    if (committed?.offset === before?.offset && committed?.metadata === before?.metadata) break
  }
  return offsets
}

async function positionIn(place: GroupPartition, services: LogServices): Promise<Position> {
  return positionOf(await settledOffsets(place, services), services.fromBeginning)
}

/** An offset that the partition does not have is of records that have expired, or of a topic of before. */
function positionOf({ committed, low, high }: PartitionOffsets, fromBeginning: boolean): Position {
  if (committed === undefined || committed.offset > high)
    return { next: fromBeginning ? low : high, starts: 0 }
  if (committed.offset < low) return { next: low, starts: 0 }
  return { next: committed.offset, starts: Number(STARTS.exec(committed.metadata)?.[1] ?? 0) }
}
