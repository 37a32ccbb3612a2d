/**
 * One process of several on a file, for the tests: `child.ts <role> <file> [options as JSON]`. It speaks by
 * messages: each that it gets starts its role's next step, each that it sends is an observation.
 */
import { DatabaseSync } from 'node:sqlite'
import type { ClaimRequest } from '@oncemq/core/store'
import { OncemqError } from '@oncemq/core'
import { SqliteStore } from '@oncemq/sqlite'
import type { SqliteStoreOptions } from '@oncemq/sqlite'
import { claimsOf, completionOf } from '@oncemq/test-stores'
import { handleInBatches, play, tell, told } from '@oncemq/test-stores/child'

const BATCH = 64

const [, , , path = '', options = '{}'] = process.argv
const store = new SqliteStore({ path, ...(JSON.parse(options) as SqliteStoreOptions) })

const roles: Readonly<Record<string, () => Promise<void>>> = {
  /** Opens when it is told to, and tells how that went. */
  async open() {
    tell('ready')
    await told()
    const code = (error: unknown) => (error instanceof OncemqError ? error.code : String(error))
    tell(
      await store.open().then(
        () => 'open',
        (error: unknown) => code(error),
      ),
    )
  },

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

  /** Claims and completes without end, and tells what was completed. */
  async churn() {
    await store.open()
    for (;;) {
      const batch = claimsOf(BATCH)
      await store.claim(batch)
      await store.update(batch.map(completionOf))
      tell(batch.map(({ id }) => id))
    }
  },

  /** Stays for ever in a handler that has written. */
  async transact() {
    await store.open()
    const [claim] = claimsOf(1) as [ClaimRequest]
    await store.claim([claim])
    await store.transaction(async (tx) => {
      tx.prepare('INSERT INTO effects (name) VALUES (?)').run(claim.id)
      tell(claim.id)
      return told()
    })
  },

  batch: () =>
    handleInBatches(store, (tx, key) => tx.prepare('INSERT INTO effects (name) VALUES (?)').run(key)),

  /** Holds the write lock until it is told to let go. */
  async lock() {
    const database = new DatabaseSync(path)
    database.exec('BEGIN IMMEDIATE')
    tell('locked')
    await told()
    database.exec('COMMIT')
  },
}

await play(roles)
