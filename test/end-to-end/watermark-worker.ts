import type { HandlerContext } from '@oncemq/core'
import { createDeduplicator, watermark } from '@oncemq/core'
import { type LogScene, logScenes, type LogStoreName } from './watermark-scene.ts'
import { Worker } from './worker.ts'

const LEASE_MS = 6000

export interface LogAssignment {
  readonly store: LogStoreName
  readonly storeUrl: string
  readonly url: string
  readonly historyFile: string
  readonly record: boolean
  readonly attemptsMax: number
}

/** What a process that follows its logs consumes with: a poison message ends it in its handler. */
export function followLogs(consumerGroup: string, given: LogAssignment) {
  const worker = new Worker(given.historyFile)
  const scene: LogScene = logScenes[given.store]
  const dedup = createDeduplicator<unknown>({
    store: scene.open(given.storeUrl),
    consumerGroup,
    strategy: watermark({ record: given.record }),
    leaseMs: LEASE_MS,
    attemptsMax: given.attemptsMax,
  })
  worker.watch(dedup)
  const handle = (message: string, { tx, epoch }: HandlerContext<unknown>): Promise<void> =>
    // By the message, as it may have no key: so the history tells one from another.
    worker.work({ key: message, epoch }, async () => {
      await scene.write(tx, message)
      if (message.endsWith('poison')) process.kill(process.pid, 'SIGKILL')
    })
  return { worker, dedup, handle }
}
