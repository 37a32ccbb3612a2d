import { channel } from 'node:diagnostics_channel'

import type { OncemqError } from '../errors.ts'
import type { RejectReason, UnprotectedReason } from '../delivery/reasons.ts'
import type { Finding } from '../store/contract.ts'

/** What a deduplicator tells. Each event is also published on the diagnostics channel `oncemq:<name>`. */
export interface Events {
  granted: { key: string; epoch: number; attempt: number }
  completed: { key: string; epoch: number }
  /** `memory`: answered without asking the store. */
  duplicate: { key: string; source: 'store' | 'memory' }
  /** Given back to the broker, since another worker is at it for longer than the waiting bound. */
  busy: { key: string; retryAfterMs: number }
  /** The lease ended or was taken over while the handler ran. */
  lost: { key: string; epoch: number }
  /** The handler threw. `final`: it will not be started again. */
  failed: { key: string | undefined; attempt: number; final: boolean; error: unknown }
  conflict: { key: string }
  rejected: { key: string | undefined; reason: RejectReason }
  /** The handler ran, or runs, without protection. */
  unprotected: { key: string | undefined; reason: UnprotectedReason }
  /** The handler succeeded, but the store could not be told in time. */
  unconfirmed: { key: string; epoch: number }
  storeError: { operation: string; entries: number; error: OncemqError }
  /** The store went down; claims are held. */
  outage: { error: OncemqError }
  recovered: { downMs: number }
  /** The store's set-up deserves a look. */
  finding: Finding
  /** Something that users should know and that has no outcome of its own. */
  warning: { message: string }
}

export type EventName = keyof Events

const names = [
  'granted',
  'completed',
  'duplicate',
  'busy',
  'lost',
  'failed',
  'conflict',
  'rejected',
  'unprotected',
  'unconfirmed',
  'storeError',
  'outage',
  'recovered',
  'finding',
  'warning',
] as const satisfies readonly EventName[]

type Listener<Name extends EventName> = (event: Events[Name]) => void

/**
 * Typed events of one deduplicator, counted, and published to `node:diagnostics_channel` where someone
 * listens.
 */
export class EventHub {
  readonly #consumerGroup: string
  readonly #listeners = new Map<EventName, Set<Listener<never>>>()
  readonly #channels = new Map(names.map((name) => [name, channel(`oncemq:${name}`)] as const))
  readonly #counts = Object.fromEntries(names.map((name) => [name, 0])) as Record<EventName, number>

  constructor(consumerGroup: string) {
    this.#consumerGroup = consumerGroup
  }

  /** Adds a listener and answers the function that removes it. */
  on<Name extends EventName>(name: Name, listener: Listener<Name>): () => void {
    const listeners = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, listeners.add(listener))
    return () => listeners.delete(listener)
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
    if (!listeners?.size && !subscribers?.hasSubscribers) return
    const event = build()
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
}

function warn(name: EventName, error: unknown): void {
  const what = error instanceof Error ? error.name : typeof error
  process.emitWarning(`a listener of '${name}' threw ${what}`, { type: 'OncemqWarning' })
}
