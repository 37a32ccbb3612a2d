/**
 * One process of several on a table, for the tests: `child.ts <role> <url> <table>`. It speaks by messages:
 * each that it gets starts its role's next step, each that it sends is an observation.
 */
import { createDeduplicator, transactional } from '@oncemq/core'
import type { ClaimRequest } from '@oncemq/core/store'
import { PostgresStore } from '@oncemq/postgres'
import pg from 'pg'
import { claimsOf, completionOf } from '@oncemq/test-stores'

const [, , role, url = '', table = ''] = process.argv
const pool = new pg.Pool({ connectionString: url })
const store = new PostgresStore({ pool, table })

function tell(message: unknown): void {
  process.send?.(message)
}

function told<Message>(): Promise<Message> {
  return new Promise((resolve) => process.once('message', (message) => resolve(message as Message)))
}

const roles: Readonly<Record<string, () => Promise<void>>> = {
  /** Claims the ids that it is told, one batch after the other, and tells which it got. */
  async claim() {
    await store.open()
    tell('ready')
    for (;;) {
      const batch = await told<ClaimRequest[]>()
      const answers = await store.claim(batch)
      tell(batch.filter((_, position) => answers[position]?.status === 'granted').map(({ id }) => id))
    }
  },

  /** Stays for ever in a handler that has written. */
  async transact() {
    await store.open()
    const [claim] = claimsOf(1) as [ClaimRequest]
    await store.claim([claim])
    await store.transaction(async (tx) => {
      await tx.query({ text: 'INSERT INTO killed_effects (name) VALUES ($1)', values: [claim.id] })
      tell(claim.id)
      await told()
      return completionOf(claim)
    })
  },

  /** Handles the keys that it is told in batches, and tells of each handler that has written. */
  async batch() {
    const strategy = transactional({ batch: { max: 16 } })
    const dedup = createDeduplicator({ store, consumerGroup: 'killed', strategy, leaseMs: 2000 })
    await dedup.open()
    tell('ready')
    const keys = await told<string[]>()
    const once = (key: string) =>
      dedup.run(key, async ({ tx }) => {
        const values = [key]
        await tx.query({ text: 'INSERT INTO batched_effects (name) VALUES ($1)', values })
        tell(key)
      })
    // As a broker delivers again.
    const handle = (key: string): Promise<unknown> => once(key).catch(() => handle(key))
    await Promise.all(keys.map(handle))
    await dedup.close()
    tell('done')
  },
}

await roles[role ?? '']?.()
process.disconnect()
