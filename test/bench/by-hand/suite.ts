import type { Deduplicator, HandlerContext, Store } from '@oncemq/core'
import { createDeduplicator, transactional as strategyOf } from '@oncemq/core'
import type { Variant } from '../measure.ts'
import { interleaved } from '../measure.ts'
import { reported } from '../report.ts'
import type { Row } from '../report.ts'
import type { Settings } from '../settings.ts'
import { Beside } from './beside.ts'
import type { HandWritten, HandWrittenTransaction, OpenHandWritten } from './hand-written.ts'
import { underLoad } from './load.ts'
import { peersOf } from './peers.ts'

const IN_FLIGHT = [1, 4, 16, 64, 256]
const BATCH_MAX = 64
const options = { consumerGroup: 'bench', sweepEveryMs: 0 }

/** What is compared in one run: the first is written by hand. */
interface Contest {
  readonly handles: Readonly<Record<string, (key: string) => Promise<unknown>>>
  close(): Promise<void>
}

/**
 * Each mode of a store against what people write in its place, at each number of messages in flight; and
 * other libraries, if they are asked for.
 */
export async function benchByHand(subject: HandWritten, settings: Settings): Promise<readonly Row[]> {
  const beside = new Beside()
  const port = await beside.run('echo.ts')
  const opened = await subject.open(beside.network(settings.delayMs))
  const rows: Row[] = []
  let series = 0
  const hasPeers = settings.suites.includes('peers')
  const peers = await peersOf(subject.name, hasPeers ? opened.url : undefined)
  for (const contest of await contestsOf(opened, peers.handles)) {
    for (const inFlight of settings.inFlight ?? IN_FLIGHT) {
      const load = { port, inFlight, durationMs: settings.durationMs }
      const variants = Object.entries(contest.handles).map(([name, handle]): Variant => {
        const run = () => {
          const prefix = `${(series += 1)}-`
          return underLoad(load, (number) => handle(prefix + number), { server: opened.processes })
        }
        return { name, run }
      })
      const runs = await interleaved(variants, settings.rounds)
      rows.push(...reported({ suite: 'by-hand', broker: null, store: subject.name, inFlight }, runs))
    }
    await contest.close()
  }
  await peers.close()
  await opened.close()
  beside.end()
  return rows
}

async function contestsOf(opened: OpenHandWritten, peers: Contest['handles']): Promise<readonly Contest[]> {
  const { store, lease, transactional } = opened
  const dedup = createDeduplicator({ ...options, store })
  await dedup.open()
  const contests: Contest[] = [
    {
      handles: {
        'by-hand': lease,
        lease: (key) => completed(dedup.process({ key }, () => undefined)),
        ...peers,
      },
      close: async () => {},
    },
  ]
  if (transactional !== undefined) contests.push(await inTransactions(store, transactional, batching(store)))
  return contests
}

/** A deduplicator of its own, where the store can handle several messages in one transaction. */
function batching(store: Store): Deduplicator<never> | undefined {
  if (store.guarantees.batchesTransactions === undefined) return undefined
  const strategy = strategyOf({ batch: { max: BATCH_MAX } })
  return createDeduplicator({ ...options, store, strategy } as never) as unknown as Deduplicator<never>
}

async function inTransactions(
  store: Store,
  { byHand, effect }: HandWrittenTransaction,
  batched: Deduplicator<never> | undefined,
): Promise<Contest> {
  const dedup = createDeduplicator<never>({ ...options, store, strategy: 'transactional' })
  await dedup.open()
  await batched?.open()
  return {
    handles: {
      'by-hand-tx': byHand,
      transactional: handledBy(dedup, effect),
      ...(batched !== undefined && { batches: handledBy(batched, effect) }),
    },
    close: async () => {
      await batched?.close()
      await dedup.close()
    },
  }
}

function handledBy(dedup: Deduplicator<never>, effect: HandWrittenTransaction['effect']) {
  return (key: string) =>
    completed(
      dedup.process({ key }, async ({ tx }: HandlerContext<never>) => {
        await effect(tx, key)
      }),
    )
}

/** A message that was not handled must not be counted as one that was quick. */
async function completed(processed: Promise<{ readonly status: string }>): Promise<void> {
  const { status } = await processed
  if (status !== 'completed') throw new Error(`expected a completed message, received '${status}'`)
}
