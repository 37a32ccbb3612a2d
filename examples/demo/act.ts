import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Taken } from './books.ts'
import { readBooks } from './books.ts'
import type { Cause } from './causes.ts'
import type { DemoBroker, RunningService, ServicePlan } from './demo-broker.ts'
import { Failure } from './failure.ts'
import { Journal } from './journal.ts'
import { payments } from './payments.ts'

const END_MAX_MS = 20_000

/** What an act left behind: counted in the journal, read from the books. */
export interface Outcome extends Taken {
  readonly deliveries: number
}

/** Where the acts take place. */
export interface Stage {
  readonly broker: DemoBroker
  readonly folder: string
  /** Begins the names of the queues, which a broker shares with others. */
  readonly queuePrefix: string
  readonly signal: AbortSignal
}

/** Runs one cause once, without or with oncemq, until every copy of every message has been acked. */
export async function play(stage: Stage, cause: Cause, isProtected: boolean): Promise<Outcome> {
  const name = `${cause.name}-${isProtected ? 'with' : 'without'}`
  const folder = join(stage.folder, name)
  mkdirSync(folder)
  const queue = `${stage.queuePrefix}-${name}`
  const plan = {
    queue,
    folder,
    protection: isProtected ? cause.protection : 'none',
    fault: cause.fault,
  } as const
  await stage.broker.declare(queue)
  try {
    await deliverAll(stage, cause, plan)
  } finally {
    await stage.broker.remove(queue)
  }
  const deliveries = new Journal(join(folder, 'journal')).count('delivered')
  return { deliveries, ...readBooks(join(folder, 'books.db')) }
}

async function deliverAll({ broker, signal }: Stage, cause: Cause, plan: ServicePlan): Promise<void> {
  const journal = new Journal(join(plan.folder, 'journal'))
  const sendAll = () => Promise.all(payments.map((payment) => cause.send(broker, plan.queue, payment)))
  if (broker.sendsFirst) await sendAll()
  let service = await broker.startService(plan)
  try {
    if (!broker.sendsFirst) await sendAll()
    if (plan.fault !== 'none') {
      await endOf(service, signal)
      // Whoever runs the service starts it again, and the second time nothing goes wrong.
      service = await broker.startService({ ...plan, fault: 'none' })
    }
    await journal.reached('acked', payments.length * cause.copies, signal)
  } finally {
    await service.stop()
  }
}

async function endOf({ ended }: RunningService, signal: AbortSignal): Promise<void> {
  const isOver = await Promise.race([
    ended.then(() => true),
    delay(END_MAX_MS, false, { signal, ref: false }),
  ])
  if (isOver) return
  throw new Failure(
    `the payment service: expected it to end by its fault within ${END_MAX_MS / 1000} s, received no end; ` +
      `look at the broker, and run the demo again`,
  )
}
