import { channel } from 'node:diagnostics_channel'

import { printable } from '../delivery/identity.ts'
import { errorNameOf } from '../errors.ts'
import type { Clock } from '../time/clock.ts'
import { systemClock } from '../time/clock.ts'
import type { EventName, Events, EventSink } from './events.ts'
import { eventNames } from './events.ts'
import type { LastError } from './health.ts'
import type { Logger } from './logger.ts'
import { Notices } from './notices.ts'

type Listener<Name extends EventName> = (event: Events[Name]) => void

/**
 * Typed events of one deduplicator, counted, and published to `node:diagnostics_channel` where someone
 * listens.
 */
export class EventHub implements EventSink {
  readonly #consumerGroup: string
  readonly #listeners = new Map<EventName, Set<Listener<never>>>()
  readonly #channels = new Map(eventNames.map((name) => [name, channel(`oncemq:${name}`)] as const))
  readonly #counts = Object.fromEntries(eventNames.map((name) => [name, 0])) as Record<EventName, number>

  readonly #notices: Notices
  readonly #clock: Clock
  #lastError: LastError | undefined

  constructor(consumerGroup: string, logger?: Logger, clock: Clock = systemClock) {
    this.#consumerGroup = consumerGroup
    this.#clock = clock
    this.#notices = new Notices(consumerGroup, logger, clock)
    this.on('storeError', (event) => this.#keep(event))
  }

  /** Adds a listener and answers the function that removes it. */
  on<Name extends EventName>(name: Name, listener: Listener<Name>): () => void {
    const listeners = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, listeners.add(listener))
    return () => listeners.delete(listener)
  }

  /** The last failure of the store. */
  get lastError(): LastError | undefined {
    return this.#lastError
  }

  /** Nothing is kept back any more of what people have to know. */
  close(): void {
    this.#notices.close()
  }

  /** How often each event happened so far. */
  counts(): Readonly<Record<EventName, number>> {
    return { ...this.#counts }
  }

  /**
   * Counts the event; builds it only if someone listens. A listener that throws never disturbs a delivery.
   */
  emit<Name extends EventName>(name: Name, build: () => Events[Name]): void {
    this.#counts[name] += 1
    const listeners = this.#listeners.get(name) as Set<Listener<Name>> | undefined
    const subscribers = this.#channels.get(name)
    const isHeard = listeners !== undefined && listeners.size > 0
    const isTold = this.#notices.concerns(name, isHeard)
    if (!isHeard && !isTold && !subscribers?.hasSubscribers) return
    const event = build()
    if (isTold) this.#notices.tell(name, event)
    subscribers?.publish({ consumerGroup: this.#consumerGroup, ...event })
    for (const listener of listeners ?? []) {
      try {
        // An asynchronous listener is none that the type foresees, but it must not end the process.
        const answer = listener(event) as unknown
        if (answer instanceof Promise) answer.catch((error: unknown) => warn(name, error))
      } catch (error) {
        warn(name, error)
      }
    }
  }

  #keep({ operation, error: { code, message } }: Events['storeError']): void {
    this.#lastError = Object.freeze({ code, message, operation, atMs: this.#clock.nowMs() })
  }
}

function warn(name: EventName, error: unknown): void {
  const what = printable(errorNameOf(error))
  process.emitWarning(`a listener of '${name}' threw ${what}`, { type: 'OncemqWarning' })
}
