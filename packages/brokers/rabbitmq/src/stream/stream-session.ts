import type { TakenLog, Timer } from '@oncemq/core/broker'
import { backoffMs, copySecret, pause } from '@oncemq/core/broker'
import type { AmqpMessage } from '../amqp.ts'
import { readArrival } from '../arrival.ts'
import type { SessionParts } from '../channel-session.ts'
import { ChannelSession } from '../channel-session.ts'
import { consumeFrom, offsetOf, startsAsStream, streamExpected } from '../queue-kind.ts'
import { holdMsOf } from '../settings.ts'
import { ReaderTurn } from './reader-turn.ts'
import { StreamDelivery } from './stream-delivery.ts'
import type { StreamFate } from './stream-delivery.ts'
import { lastOffset, streamGone } from './stream-end.ts'

/** Between two tries to move a log over what was put aside. */
const PASS_BACKOFF = { firstMs: 100, factor: 2, maxMs: 10_000 }
/** Between two looks whether a stream that is silent is the one that was read before. */
const SILENT_BACKOFF = { firstMs: 2000, factor: 4, maxMs: 60_000 }

/**
 * The managed consumer's time of reading a stream:
 *
 *   waits for its turn ──▶ log taken ──▶ consuming from its row ⇄ resting
 *           all ──channel closed, cancelled by the server, turn or log lost──▶ ended
 *
 * The row of the log says what is done; the broker keeps no offset, and an ack is a place in the window and
 * no more. Who loses the log ends the session, and with it the turn: the next one waits for its turn again.
 */
export class StreamSession<Tx> extends ChannelSession<Tx> {
  readonly #turn: ReaderTurn
  /** Aborts when nothing is to be begun any more. */
  readonly #ending = new AbortController()
  /** In the order of their arrival; the first one is worked on. */
  readonly #held = new Map<StreamDelivery, number>()
  #secret: Uint8Array | undefined
  #log: TakenLog | undefined
  /** Where to go on; `undefined` for the first message that is there. */
  #from: bigint | undefined
  /** The message before, which the log is past: while it is not seen, the stream may be another one. */
  #mark: bigint | undefined
  #isPaused = false
  /** Whether no more is received until what is held has ended. */
  #isResting = false
  #hasWarned = false
  #restTimer: Timer | undefined
  #looking: Timer | undefined
  #looks = 0

  constructor(parts: SessionParts<Tx>) {
    super(parts)
    const { clock, consumerGroup } = this.dedup.settings
    this.#turn = new ReaderTurn({
      queue: this.settings.queue,
      consumerGroup,
      clock,
      openChannel: this.#openBeside,
      onLost: () => this.end(),
    })
  }

  /** Where another worker reads the stream, this one is ready, and waits. */
  async start(): Promise<void> {
    const { queue } = this.settings
    if (!(await startsAsStream(this.#openBeside, queue))) throw streamExpected(queue)
    this.#secret = await copySecret(this.dedup, this.acks.gone)
    await this.prefetched()
    if (await this.#turn.take()) await this.#begin()
    else void this.#await()
  }

  override pause(): Promise<void> {
    this.#isPaused = true
    return super.pause()
  }

  resume(): Promise<void> {
    this.#isPaused = false
    return this.inTurn(() => this.#consume())
  }

  override stop(): Promise<void> {
    this.#ending.abort()
    return super.stop()
  }

  protected override async closeNow(): Promise<void> {
    this.#stopTimers()
    this.#ending.abort()
    if (this.channels.isShared) await super.pause().catch(() => undefined)
    await this.#log?.release()
    await Promise.all([this.#turn.release(), super.closeNow()])
  }

  protected override end(error?: unknown): void {
    this.#stopTimers()
    this.#ending.abort()
    super.end(error)
  }

  protected received(message: AmqpMessage): void {
    const offset = offsetOf(message)
    const log = this.#log
    if (this.#ending.signal.aborted || log === undefined) return
    if (offset === undefined) return this.end(streamExpected(this.settings.queue))
    this.#look(offset)
    if (this.#from !== undefined && offset < this.#from) return void this.channel.ack(message)
    this.#from = offset + 1n
    const { clock } = this.dedup.settings
    const arrival = readArrival(message, { queue: this.settings.queue, clock, secret: this.#secret })
    const delivery = new StreamDelivery(arrival, offset, this.#fate(log))
    this.#held.set(delivery, clock.monotonicMs())
    this.acks.arrived(delivery)
    this.#restTimer ??= clock.after(holdMsOf(this.settings), () => this.#restIfLate(), 'background')
    this.deliver(delivery)
  }

  readonly #openBeside = () => this.channels.openBeside(this.channel)

  async #await(): Promise<void> {
    try {
      if (await this.#turn.wait(this.#ending.signal)) await this.#begin()
    } catch (error) {
      if (!this.#ending.signal.aborted) this.end(error)
    }
  }

  async #begin(): Promise<void> {
    const { fromBeginning, queue } = this.settings
    const log = await this.dedup.takeLog(['rabbitmq', queue], { fromBeginning })
    this.#log = log
    if (this.#ending.signal.aborted) return void log.release()
    log.signal.addEventListener('abort', () => this.end(), { once: true })
    this.#from = log.next ?? (await this.#firstOffset(log))
    if (log.next !== undefined && log.next > 0n) this.#mark = log.next - 1n
    await this.inTurn(() => this.#consume())
  }

  /** Noted at once, so that what is published while nobody reads is not passed over. */
  async #firstOffset(log: TakenLog): Promise<bigint | undefined> {
    if (this.settings.fromBeginning) return undefined
    const { queue } = this.settings
    const { clock } = this.dedup.settings
    const last = await lastOffset({ queue, clock, openChannel: this.#openBeside })
    const next = (last ?? -1n) + 1n
    await log.pass(next)
    return next
  }

  async #consume(): Promise<void> {
    if (this.#log === undefined || this.#isPaused || this.#isResting || this.isConsuming) return
    if (this.#ending.signal.aborted) return
    await this.subscribe(consumeFrom(this.#mark ?? this.#from ?? 'first', this.settings.consume))
    if (this.#mark !== undefined) this.#lookLater()
  }

  /** What is seen of the stream says whether it is the one of the row. */
  #look(offset: bigint): void {
    if (this.#mark !== undefined && offset >= this.#mark) {
      this.#mark = undefined
      this.#looking?.cancel()
    }
    if (this.#from === undefined || offset <= this.#from || this.#hasWarned) return
    this.#hasWarned = true
    this.dedup.warn(
      `the stream '${this.settings.queue}' goes on with offset ${offset}, where ${this.#from} was ` +
        'expected; if its retention has removed messages, they were never handled',
    )
  }

  #lookLater(): void {
    const { clock } = this.dedup.settings
    const delayMs = backoffMs(SILENT_BACKOFF, this.#looks++)
    this.#looking?.cancel()
    this.#looking = clock.after(delayMs, () => void this.#lookForEnd(), 'background')
  }

  /** From a stream that ends before the row the broker delivers nothing, and would pass over what is new. */
  async #lookForEnd(): Promise<void> {
    const [mark, { queue }, { clock }] = [this.#mark, this.settings, this.dedup.settings]
    if (mark === undefined) return
    try {
      const last = await lastOffset({ queue, clock, openChannel: this.#openBeside, enough: mark })
      if (this.#mark === undefined || this.#ending.signal.aborted) return
      if (last !== undefined && last < mark) return this.end(streamGone(queue, mark + 1n, last))
    } catch {
      // What cannot be asked now is asked again.
    }
    if (!this.#ending.signal.aborted) this.#lookLater()
  }

  #fate(log: TakenLog): StreamFate {
    return {
      queue: this.settings.queue,
      log,
      acks: this.acks,
      copies: this.copies,
      settled: (delivery) => this.#settled(delivery, log),
      givenBack: (offset) => {
        if (this.#from === undefined || offset < this.#from) this.#from = offset
      },
    }
  }

  /** What was put aside, or is nothing for this consumer, has no transaction that moved the log. */
  async #settled(delivery: StreamDelivery, log: TakenLog): Promise<void> {
    const { clock } = this.dedup.settings
    const { gone } = this.acks
    const { offset } = delivery.position
    for (let failures = 0; !gone.aborted && !log.isPast(offset); failures += 1) {
      try {
        if (!(await log.pass(offset + 1n))) return
      } catch {
        // An outage, which is an event of the store.
        await pause(clock, backoffMs(PASS_BACKOFF, failures), gone)
        await this.dedup.available(gone)
      }
    }
    this.#held.delete(delivery)
    delivery.credit()
    if (!this.#isResting || this.#held.size > 0) return
    this.#isResting = false
    await this.inTurn(() => this.#consume()).catch((error: unknown) => this.end(error))
  }

  /**
   * The broker closes a channel with a message that is unacked for too long. One that is held for long is
   * acked, which loses nothing; so that this lets no further ones in, nothing is received meanwhile.
   */
  #restIfLate(): void {
    const { clock } = this.dedup.settings
    this.#restTimer = undefined
    const [since] = this.#held.values()
    if (since === undefined) return
    const leftMs = since + holdMsOf(this.settings) - clock.monotonicMs()
    if (leftMs <= 0) return void this.#rest().catch(() => this.end())
    this.#restTimer = clock.after(Math.ceil(leftMs), () => this.#restIfLate(), 'background')
  }

  async #rest(): Promise<void> {
    this.#isResting = true
    await this.inTurn(() => this.unsubscribe())
    for (const delivery of this.#held.keys()) delivery.credit()
    if (this.#held.size > 0) return
    this.#isResting = false
    await this.inTurn(() => this.#consume())
  }

  #stopTimers(): void {
    this.#restTimer?.cancel()
    this.#looking?.cancel()
  }
}
