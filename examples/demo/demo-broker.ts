import type { Payment } from './payments.ts'

/** How long the keys of a dead worker wait. Real consumers leave the default of 30 s. */
export const LEASE_MS = 2000
export const CONSUMER_GROUP = 'billing'

/** One run of the payment service: everything that a process needs to know at its start. */
export interface ServicePlan {
  readonly queue: string
  /** Where the books, the journal and the store of this act are. */
  readonly folder: string
  readonly protection: 'none' | 'lease' | 'transactional'
  /** `crash`: it dies in the middle of its handlers. `ack-lost`: the connection breaks under its acks. */
  readonly fault: 'none' | 'crash' | 'ack-lost'
}

export interface RunningService {
  /** Resolves when it has died or lost its connection. */
  readonly ended: Promise<void>
  /** Lets it end in good order. */
  stop(): Promise<void>
}

/**
 * What the demo needs of a broker. To show another one: write this interface and a service for it, and name
 * it in `open-broker.ts`.
 */
export interface DemoBroker {
  /** As the JSON names it. */
  readonly name: string
  /** For people: what it is, and what stands for a crash there. */
  readonly description: string
  readonly crash: string
  /** For people: what is wrapped there, so that a consumer stays as it was. */
  readonly dropIn: string
  /** How long the producer waits for a confirm before it gives up on it, and sends again. */
  readonly patienceMs: number
  /**
   * Whether the messages are sent before the service starts: for a client that fetches no more until what it
   * has fetched is handled, where handlers wait for each other.
   */
  readonly sendsFirst?: boolean
  /** Makes an empty queue of that name. */
  declare(queue: string): Promise<void>
  /** Sends a payment, with its id as the message's key; resolves when the broker has confirmed. */
  send(queue: string, payment: Payment): Promise<void>
  startService(plan: ServicePlan): Promise<RunningService>
  remove(queue: string): Promise<void>
  close(): Promise<void>
}
