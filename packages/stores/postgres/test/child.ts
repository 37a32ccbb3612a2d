/**
 * One process of several on a table, for the tests: `child.ts <role> <url> <table>`. It speaks by messages:
 * each that it gets starts its role's next step, each that it sends is an observation.
 */
import type { ClaimRequest } from '@oncemq/core/store'
import { PostgresStore } from '@oncemq/postgres'
import pg from 'pg'
import { claimsOf, completionOf } from '@oncemq/test-stores'
import { handleInBatches, play, tell, told } from '@oncemq/test-stores/child'

const [, , , url = '', table = ''] = process.argv
const pool = new pg.Pool({ connectionString: url })
const store = new PostgresStore({ pool, table })

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

  batch: () =>
    handleInBatches(store, (tx, key) =>
      tx.query({ text: 'INSERT INTO batched_effects (name) VALUES ($1)', values: [key] }),
    ),
}

await play(roles)
