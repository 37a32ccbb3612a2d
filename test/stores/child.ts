// What the programs of other processes share: each is told by its parent, and tells it what it sees.
import { createDeduplicator, transactional } from '@oncemq/core'
import type { TransactionalStore } from '@oncemq/core'

export function tell(message: unknown): void {
  process.send?.(message)
}

/** The next thing that its parent tells it. */
export function told<Message>(): Promise<Message> {
  return new Promise((resolve) => process.once('message', (message) => resolve(message as Message)))
}

/** Runs the role that the program was started for, and leaves its parent. */
export async function play(roles: Readonly<Record<string, () => Promise<void>>>): Promise<void> {
  await roles[process.argv[2] ?? '']?.()
  process.disconnect()
}

/** Handles the keys that it is told in batches, and tells of each handler that has written. */
export async function handleInBatches<Tx>(
  store: TransactionalStore<Tx>,
  write: (tx: Tx, key: string) => unknown,
): Promise<void> {
  const strategy = transactional({ batch: { max: 16 } })
  const dedup = createDeduplicator<Tx>({ store, consumerGroup: 'killed', strategy, leaseMs: 2000 })
  await dedup.open()
  tell('ready')
  const keys = await told<string[]>()
  const once = (key: string) =>
    dedup.run(key, async ({ tx }) => {
      await write(tx, key)
      tell(key)
      // A kill may come in between.
      await new Promise((resolve) => setImmediate(resolve))
    })
  // As a broker delivers again.
  const handle = (key: string): Promise<unknown> => once(key).catch(() => handle(key))
  await Promise.all(keys.map(handle))
  await dedup.close()
  tell('done')
}
