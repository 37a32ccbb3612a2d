import { MysqlStore } from '@oncemq/mysql'
import type { Isolation } from '@oncemq/mysql'
import { describeService } from '@oncemq/test-services/vitest'
import { claimOf, completionOf } from '@oncemq/test-stores'
import type { PoolConnection } from 'mysql2/promise'
import { afterAll, expect, test } from 'vitest'
import { databaseOf } from './database.ts'

// From 11.6 on MariaDB refuses to change a record that was renewed after the transaction's snapshot.
const servers = [
  ['mysql-8.0', true],
  ['mariadb-11.8', false],
  ['mariadb-10.11', true],
] as const

for (const [name, renewsAbove] of servers) {
  describeService(name, (server) => {
    const { pool, end } = databaseOf(server)
    afterAll(end)

    test.each<[Isolation, boolean]>([
      ['read committed', true],
      ['repeatable read', renewsAbove],
      // There a read locks what it reads, and the record is not read.
      ['serializable', renewsAbove],
    ])('at %s a lease is renewed in a transaction where it can be: %s', async (isolation, renews) => {
      const store = new MysqlStore<PoolConnection>({ pool, table: 'snapshots', isolation })
      await store.open()
      expect(store.guarantees.renewsInTransaction).toBe(renews)
      const claim = claimOf()
      await store.claim([claim])
      const answer = store.transaction(async (tx) => {
        await tx.query('SELECT * FROM snapshots_meta')
        const renewal = { ...completionOf(claim), op: 'renew' as const, leaseMs: 60_000 }
        expect(await store.update([renewal])).toEqual(['ok'])
        return completionOf(claim)
      })
      expect(await answer.catch((error: { code: string }) => error.code)).toBe(
        renews ? 'ok' : 'ONCEMQ_TRANSACTION_CONFLICT',
      )
      await store.close()
    })
  })
}
