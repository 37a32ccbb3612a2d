import { createDeduplicator } from '@oncemq/core'
import type { TransactionalStore } from '@oncemq/core'
import { newHex } from './requests.ts'

/** What `onceWith` answers where all is well. */
export const ONCE = ['rolled back', 0, 'completed', 1, 'duplicate', 1, 'completed', 'duplicate', 1]

/**
 * The short way through a store: a handler that fails, the same one that does not, a duplicate, and the same
 * with a lease. Answers what came of each, and how many rows of `write` there are.
 */
export async function onceWith<Tx>(
  store: TransactionalStore<Tx>,
  write: (tx: Tx) => Promise<unknown>,
  count: () => Promise<number>,
): Promise<readonly (string | number)[]> {
  const inTransaction = createDeduplicator({ store, consumerGroup: newHex(), strategy: 'transactional' })
  const leased = createDeduplicator({ store, consumerGroup: newHex() })
  const seen: (string | number)[] = []
  const failing = inTransaction.run('a', async ({ tx }) => {
    await write(tx)
    throw new Error('rolled back')
  })
  seen.push(
    await failing.then(
      ({ status }) => status,
      (error: Error) => error.message,
    ),
    await count(),
  )
  for (let run = 0; run < 2; run += 1) {
    const { status } = await inTransaction.run('a', ({ tx }) => write(tx))
    seen.push(status, await count())
  }
  for (let run = 0; run < 2; run += 1) seen.push((await leased.run('a', () => undefined)).status)
  await inTransaction.close()
  await leased.close()
  return [...seen, await count()]
}
