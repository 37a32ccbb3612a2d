import { setTimeout as delay } from 'node:timers/promises'
import type { DemoBroker, ServicePlan } from './demo-broker.ts'
import { LEASE_MS } from './demo-broker.ts'
import type { Payment } from './payments.ts'

export interface Cause {
  /** As the JSON names it. */
  readonly name: string
  readonly title: string
  readonly fault: ServicePlan['fault']
  /** How oncemq is used against it. */
  readonly protection: 'lease' | 'transactional'
  means(broker: DemoBroker): string
  /** How often each payment is sent. */
  readonly copies: number
  story(broker: DemoBroker): string
  send(broker: DemoBroker, queue: string, payment: Payment): Promise<void>
}

const LEASE = `${LEASE_MS / 1000} s`
const TOGETHER = `strategy 'transactional': charge and record commit together, after a lease of ${LEASE}`

/** The three ways in which a message comes twice. */
export const causes: readonly Cause[] = [
  {
    name: 'producer-resend',
    title: 'The producer times out and sends again',
    fault: 'none',
    protection: 'lease',
    means: ({ dropIn }) => dropIn,
    copies: 2,
    story: () =>
      'The broker has the messages, but its confirms are lost on the way: the producer sends each again.',
    async send(broker, queue, payment) {
      const arrived = await answered(broker.send(queue, payment), broker.patienceMs)
      if (!arrived) await broker.send(queue, payment)
    },
  },
  {
    name: 'consumer-crash',
    title: 'The consumer crashes in mid-handler, and the broker delivers again',
    fault: 'crash',
    protection: 'transactional',
    means: () => TOGETHER,
    copies: 1,
    story: ({ crash }) => `After the charges and before the acks: ${crash}.`,
    send: (broker, queue, payment) => broker.send(queue, payment),
  },
  {
    name: 'lost-ack',
    title: 'The ack is lost after success',
    fault: 'ack-lost',
    protection: 'lease',
    means: ({ dropIn }) => dropIn,
    copies: 1,
    story: () => 'All handlers have succeeded; the connection breaks with their acks on the way.',
    send: (broker, queue, payment) => broker.send(queue, payment),
  },
]

/** A confirm whose way back is cut: the broker gives it, and the producer's patience ends without it. */
async function answered(confirm: Promise<void>, patienceMs: number): Promise<boolean> {
  await confirm
  const lost = new Promise<void>(() => undefined)
  return Promise.race([lost.then(() => true), delay(patienceMs, false)])
}
