import type { Deduplicator } from '../deduplicator.ts'
import type { Delivery, ProcessOutcome } from '../delivery/outcome.ts'
import { errorNameOf, isOncemqError, OncemqError } from '../errors.ts'
import type { Backoff } from '../time/backoff.ts'
import { backoffMs } from '../time/backoff.ts'
import type { Timer } from '../time/clock.ts'
import { Condition, pause } from '../time/condition.ts'
import { within } from '../time/within.ts'
import { closeTimeoutMs } from '../validate.ts'
import { DeliveryLoop } from './delivery-loop.ts'
import type { HeldMessage, MessageSource, Receiver, Session } from './held-message.ts'
import type { KeyOf } from './key.ts'
import type { ProcessingOptions } from './processing.ts'
import { processing } from './processing.ts'
import { type ConsumerHealth, Reception } from './reception.ts'

const REOPEN_BACKOFF = { firstMs: 100, factor: 2, maxMs: 5000 }
/** To open, to pause, to close: what has not ended by then never may. */
const SESSION_TIMEOUT_MS = 30_000
const SESSION_STABLE_MS = 10_000
/** Between two looks whether what could not be settled can be now. */
const UNSETTLED_BACKOFF = { firstMs: 60_000, factor: 4, maxMs: 86_400_000 }
const CLOSE_STEP_MS = 1000
const DAY_MS = 86_400_000

/** A running consumer. */
export interface Consumer extends AsyncDisposable {
  /**
   * Takes no further messages, waits until the handlers that run have ended (up to `timeoutMs`, 30000 by
   * default), sends the acks, and closes what the consumer opened, which takes up to three seconds more with
   * a client that does not answer. Idempotent. What has not ended by then is delivered again.
   */
  close(options?: { timeoutMs?: number }): Promise<void>
  /** Whether it receives messages, as far as is known without asking anybody: for readiness probes. */
  health(): ConsumerHealth
}

/** What a {@link ManagedConsumer} is made with: a source of messages, and options that are checked. */
export interface ManagedConsumerOptions<Tx, Message> extends ProcessingOptions<Tx, Message> {
  readonly source: MessageSource<Message>
  readonly key: KeyOf<Message>
  readonly retry: Backoff
  readonly window: number
  readonly concurrency: number
  readonly holdMs: number
  /** Whether results are replayed to duplicates, and so only to those with the same payload. */
  readonly replaysResults?: boolean
  /** Whether each message has a position in a log, and those of a log come in its order. */
  readonly givesPositions?: boolean
  /** Called once if the consumer ends without `close()`. */
  readonly onEnd?: ((error: OncemqError) => void) | undefined
}

/**
 * The managed loop, the same for every broker: opens sessions one after the other, takes each message through
 * the middlewares and the deduplicator to its settlement, pauses when nothing here can handle any, and ends.
 */
export class ManagedConsumer<Tx, Message> implements Consumer {
  readonly #options: ManagedConsumerOptions<Tx, Message>
  readonly #loop: DeliveryLoop<Message>
  readonly #process: (held: HeldMessage<Message>, delivery: Delivery) => Promise<ProcessOutcome>
  readonly #reception: Reception
  readonly #closed = new AbortController()
  readonly #sessionEnded = new Condition()
  #session: Session | undefined
  #pausing: Promise<void> | undefined
  #unsettled = 0
  #closing: Promise<void> | undefined

  private constructor(options: ManagedConsumerOptions<Tx, Message>) {
    const { dedup, key, retry, window, concurrency, holdMs, replaysResults = false } = options
    this.#options = options
    this.#reception = new Reception(dedup as unknown as Deduplicator)
    this.#loop = new DeliveryLoop({
      dedup: dedup as unknown as Deduplicator<never>,
      key,
      policy: { retry, onUnconfirmed: dedup.settings.onUnconfirmed },
      window,
      concurrency,
      holdMs,
      givesPositions: options.givesPositions,
      fingerprint: replaysResults || dedup.settings.fingerprint,
      onHoldOver: (reason) => this.#holdOver(reason),
      onSentOn: () => (this.#unsettled = 0),
      onClosed: () => this.#dedupClosed(),
    })
    this.#process = processing(options)
  }

  /**
   * Opens the store and begins to consume. A store or broker that is down now is an outage like any other,
   * with its events; what is set up wrongly is thrown, before any message sees it.
   * @throws OncemqError for what is set up wrongly.
   */
  static async start<Tx, Message>(options: ManagedConsumerOptions<Tx, Message>): Promise<Consumer> {
    const consumer = new ManagedConsumer(options)
    try {
      await consumer.#start()
    } catch (error) {
      await consumer.close()
      throw error
    }
    return consumer
  }

  close(options: { timeoutMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(closeTimeoutMs(options))
    return this.#closing
  }

  health(): ConsumerHealth {
    return this.#reception.health
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #start(): Promise<void> {
    try {
      await this.#options.dedup.open()
    } catch (error) {
      if (!isTransient(error)) throw error
    }
    try {
      await this.#openSession()
    } catch (error) {
      if (isFinal(error)) throw error
      this.#reception.outOfReach(error)
    }
    void this.#stayOpen()
  }

  /** One session after the other, until the consumer is closed or there can be none any more. */
  async #stayOpen(): Promise<void> {
    const { signal } = this.#closed
    const { dedup } = this.#options
    const { clock, onStoreDown } = dedup.settings
    for (let failures = 0; !signal.aborted;) {
      if (this.#session === undefined) {
        await pause(clock, backoffMs(REOPEN_BACKOFF, failures++), signal)
        if (signal.aborted) return
        try {
          // What a session received while the consumer pauses would go back at once, and be received again.
          await this.#pausing
          if (onStoreDown === 'hold') await this.#storeIsBack()
          if (signal.aborted) return
          await this.#openSession()
        } catch (error) {
          if (isFinal(error)) return this.#end(error)
          if (failures === 1) this.#reception.outOfReach(error)
        }
      } else {
        const openedMs = clock.monotonicMs()
        await this.#sessionEnded.wait(clock, Number.POSITIVE_INFINITY, signal)
        // One that ends at once has not worked: the waits go on growing.
        if (clock.monotonicMs() - openedMs > SESSION_STABLE_MS) failures = 0
      }
    }
  }

  /**
   * What is received while the store is down can only be held, and is returned if the session ends meanwhile.
   * Without a session nothing else may keep the process.
   */
  async #storeIsBack(): Promise<void> {
    const { dedup } = this.#options
    const keep = (): Timer => dedup.settings.clock.after(DAY_MS, () => (timer = keep()))
    let timer = keep()
    await dedup.available(this.#closed.signal)
    timer.cancel()
  }

  async #openSession(): Promise<void> {
    const { source } = this.#options
    const opened = { isEnded: false, session: undefined as Session | undefined }
    const receiver: Receiver<Message> = this.#receiver((error) => {
      if (opened.isEnded) return
      opened.isEnded = true
      if (isFinal(error)) this.#end(error)
      if (opened.session !== undefined) void this.#retire(opened.session)
    })
    const session = await this.#inTime('to begin to consume', source.open(receiver), {
      late: (session) => session.close(),
    })
    opened.session = session
    if (opened.isEnded || this.#closed.signal.aborted || this.#pausing !== undefined) {
      await this.#inTime('to close', session.close())
      return
    }
    this.#session = session
    this.#reception.began()
  }

  #receiver(onEnded: (error?: unknown) => void): Receiver<Message> {
    const loop = this.#loop
    const { signal } = this.#closed
    const { dedup } = this.#options
    return {
      get room() {
        return loop.room
      },
      hasRoom: async () => {
        await dedup.available(signal)
        while (loop.room <= 0 && !signal.aborted) await loop.changed(signal)
      },
      received: (held) => void loop.run(held, (each, delivery) => this.#process(each, delivery)),
      ended: onEnded,
    }
  }

  async #retire(session: Session, withinMs = SESSION_TIMEOUT_MS): Promise<void> {
    if (this.#session === session) {
      this.#session = undefined
      this.#reception.ended()
    }
    await this.#inTime('to close', session.close(), { withinMs }).catch(() => undefined)
    this.#sessionEnded.notifyAll()
  }

  /** Messages were held for as long as they may be: they go back, and none is taken for a while. */
  #holdOver(reason: string): void {
    this.#pausing ??= this.#pauseSession(reason === 'unsettled').finally(() => (this.#pausing = undefined))
  }

  async #pauseSession(isUnsettled: boolean): Promise<void> {
    const { dedup } = this.#options
    const session = this.#session
    const { signal } = this.#closed
    this.#loop.pause()
    this.#reception.ended('it pauses: what is received could not be settled here now')
    try {
      if (session !== undefined) await this.#inTime('to pause', session.pause())
      this.#unsettled = isUnsettled ? this.#unsettled + 1 : 0
      if (isUnsettled)
        await pause(dedup.settings.clock, backoffMs(UNSETTLED_BACKOFF, this.#unsettled - 1), signal)
      await dedup.available(signal)
      this.#loop.resume()
      if (session !== undefined && session === this.#session && !signal.aborted) {
        await this.#inTime('to resume', session.resume())
        this.#reception.began()
      }
    } catch {
      // A session that cannot be paused or resumed is given up, so that there is never a second consumer.
      this.#loop.resume()
      if (session !== undefined) await this.#retire(session)
    }
  }

  #dedupClosed(): void {
    if (this.#closing !== undefined) return
    const message =
      'consume: expected an open deduplicator, received a closed one, or one whose store is closed; its ' +
      'messages are given back. Close a deduplicator after its consumers, and leave its store to it'
    this.#end(new OncemqError('ONCEMQ_CLOSED', message))
  }

  #end(error: OncemqError): void {
    const { dedup, onEnd } = this.#options
    this.#reception.ended(error.message)
    dedup.warn(`the consumer has ended: ${error.message}`)
    try {
      onEnd?.(error)
    } catch (thrown) {
      dedup.warn(`onEnd threw ${errorNameOf(thrown)}`)
    }
    void this.close()
  }

  async #close(timeoutMs: number): Promise<void> {
    const { dedup, source } = this.#options
    const { clock } = dedup.settings
    const untilMs = clock.monotonicMs() + timeoutMs
    this.#closed.abort()
    this.#reception.ended()
    this.#loop.stop()
    // What a client does not answer may take a moment more, and no more.
    const leftMs = (): number =>
      Math.max(CLOSE_STEP_MS, Math.min(untilMs - clock.monotonicMs(), SESSION_TIMEOUT_MS))
    const session = this.#session
    if (session !== undefined) {
      await this.#inTime('to stop', session.stop(), { withinMs: leftMs() }).catch(() => undefined)
    }
    const bound = new AbortController()
    const timer = clock.after(Math.max(0, untilMs - clock.monotonicMs()), () => bound.abort())
    while (!this.#loop.isEmpty && !bound.signal.aborted) await this.#loop.changed(bound.signal)
    timer.cancel()
    if (session !== undefined) await this.#retire(session, leftMs())
    await this.#inTime('to close', source.close(), { withinMs: leftMs() }).catch(() => undefined)
  }

  /** What a client never answers must not keep the consumer for ever. */
  #inTime<Value>(
    what: string,
    call: Promise<Value>,
    { withinMs = SESSION_TIMEOUT_MS, late }: { withinMs?: number; late?: (value: Value) => unknown } = {},
  ): Promise<Value> {
    const { clock } = this.#options.dedup.settings
    const timeoutError = (): OncemqError => noAnswer(what, withinMs)
    return within(() => call, { clock, timeoutMs: withinMs, timeoutError, ...(late && { late }) })
  }
}

/** Whether an error of the store passes by itself. */
function isTransient(error: unknown): boolean {
  return isOncemqError(error) && error.retryable && error.code !== 'ONCEMQ_CLOSED'
}

/** Whether there can be no session any more. */
function isFinal(error: unknown): error is OncemqError {
  return isOncemqError(error) && !error.retryable
}

function noAnswer(what: string, withinMs: number): OncemqError {
  return new OncemqError(
    'ONCEMQ_BROKER_UNAVAILABLE',
    `consume: expected the client ${what} within ${withinMs} ms, received no answer; ` +
      `see that the broker can be reached, and set a time limit in the client`,
  )
}
