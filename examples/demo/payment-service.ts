import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Deduplicator } from '@oncemq/core'
import { createDeduplicator } from '@oncemq/core'
import type { Clock } from '@oncemq/core/store'
import { systemClock } from '@oncemq/core/store'
import { SqliteStore } from '@oncemq/sqlite'
import { charge, openBooks } from './books.ts'
import { countdown } from './countdown.ts'
import type { ServicePlan } from './demo-broker.ts'
import { CONSUMER_GROUP, LEASE_MS } from './demo-broker.ts'
import { Journal } from './journal.ts'
import type { Payment } from './payments.ts'
import { payments } from './payments.ts'
import type { Watch } from './watched-channel.ts'

/** How a service consumes, by what protects it. Each answers what stops it. */
export type Ways<Setting> = Readonly<
  Record<ServicePlan['protection'], (setting: Setting) => Promise<() => Promise<void>>>
>

/** What the plan's fault does, where it has one. */
export interface Faults {
  /** Dies at once: nothing more is run, and nobody is told. */
  readonly crash: (books: DatabaseSync) => Promise<never>
  /** Called when the acks of all messages have been lost. */
  readonly acksLost: () => void
}

/** What a payment service does, whatever its broker. */
export interface PaymentService {
  readonly plan: ServicePlan
  readonly books: DatabaseSync
  /** For whoever watches the raw consumer. */
  readonly watch: Watch
  /** The handler: charges, and sends a receipt. A crash lies between, where the plan has one. */
  readonly pay: (database: DatabaseSync, body: Buffer | null) => Promise<void>
}

/** The part of a payment service that all brokers share. The faults of the plan stand around its code. */
export function openService(plan: ServicePlan, { crash, acksLost }: Faults): PaymentService {
  const books = openBooks(join(plan.folder, 'books.db'))
  const allDelivered = countdown(payments.length)
  return {
    plan,
    books,
    watch: {
      journal: new Journal(join(plan.folder, 'journal')),
      delivered: allDelivered.down,
      ...(plan.fault === 'ack-lost' && { losesAcks: { messages: payments.length, lost: acksLost } }),
    },
    async pay(database, body) {
      charge(database, JSON.parse(String(body)) as Payment)
      if (plan.fault !== 'crash') return
      // All of them are in the middle of their work: the moment at which a crash hurts most.
      await allDelivered.reached
      await crash(books)
    },
  }
}

/** The crash of a service that is a process of its own. */
export async function killOwnProcess(): Promise<never> {
  // Whoever was given the last message has charged a turn later.
  await nextTurn()
  process.kill(process.pid, 'SIGKILL')
  return new Promise(() => undefined)
}

/** Has a store of its own, and fits a handler that stays as it was. */
export function leaseDedup({ folder }: ServicePlan, clock: Clock = systemClock): Deduplicator {
  const store = new SqliteStore({ path: join(folder, 'oncemq.db'), clock })
  return createDeduplicator({ store, consumerGroup: CONSUMER_GROUP, leaseMs: LEASE_MS, clock })
}

/** Its records commit together with the charges. */
export function transactionalDedup(
  books: DatabaseSync,
  clock: Clock = systemClock,
): Deduplicator<DatabaseSync> {
  return createDeduplicator({
    store: new SqliteStore({ database: books, clock }),
    consumerGroup: CONSUMER_GROUP,
    strategy: 'transactional',
    leaseMs: LEASE_MS,
    clock,
  })
}
