import { systemClock } from '@oncemq/core/store'
import { MysqlStore } from '@oncemq/mysql'
import { describeService } from '@oncemq/test-services/vitest'
import type { RowDataPacket } from 'mysql2/promise'
import { afterAll, expect, test } from 'vitest'
import { startChild } from './children.ts'
import { databaseOf } from './database.ts'
import { claimOf, newHex } from '@oncemq/test-stores'

const PROCESSES = 3
const ROUNDS = 8
const HOUR_MS = 3_600_000

for (const name of ['mysql-8.0', 'mariadb-11.8'] as const) {
  // A server of its own, as it counts the deadlocks of all: another test makes some.
  describeService(name, { own: true }, (server) => {
    const { pool, effects, end } = databaseOf(server)
    afterAll(end)

    async function deadlocks(): Promise<number> {
      const [rows] = await pool.query<RowDataPacket[]>(
        "SELECT COUNT AS count FROM information_schema.INNODB_METRICS WHERE NAME = 'lock_deadlocks'",
      )
      return Number(rows[0]?.['count'])
    }

    test('processes that claim the same ids at once get each id once, without a deadlock', async () => {
      const children = Array.from({ length: PROCESSES }, () => startChild('claim', server.url, 'raced'))
      await Promise.all(children.map((child) => child.told()))
      /** All ask for the same, each in an order of its own, and answer what they got. */
      const race = async (ids: readonly string[], leaseMs: number): Promise<string[]> => {
        for (const [at, child] of children.entries()) {
          const order = at % 2 === 0 ? ids : ids.toReversed()
          child.tell(order.map((id) => claimOf({ id, leaseMs })))
        }
        return (await Promise.all(children.map((child) => child.told<string[]>()))).flat()
      }
      const before = await deadlocks()
      for (let round = 0; round < ROUNDS; round += 1) {
        const ids = Array.from({ length: 300 }, newHex)
        expect((await race(ids, 60_000)).toSorted()).toEqual(ids.toSorted())
      }
      // Leases that are over at once: all take over from each other.
      const ids = Array.from({ length: 300 }, newHex)
      for (let round = 0; round < ROUNDS; round += 1) await race(ids, 1)
      expect(await deadlocks()).toBe(before)
    })

    test('kill -9 inside of a handler takes its writes back, and keeps its key for the lease', async () => {
      await effects.prepare?.('killed')
      const child = startChild('transact', server.url, 'killed')
      const id = await child.told<string>()
      await child.kill()
      const store = new MysqlStore({ pool, table: 'killed' })
      await store.open()
      expect(await effects.count('killed', id)).toBe(0)
      expect((await store.claim([claimOf({ id })]))[0]?.status).toBe('busy')
      await store.close()
    })

    test("leases follow the server's clock, however far the clients' clocks are from it", async () => {
      const stores = [-HOUR_MS, HOUR_MS].map((offMs) => {
        const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + offMs }
        return new MysqlStore({ pool, table: 'clocks', clock })
      })
      for (const store of stores) await store.open()
      const claims = stores.map(() => claimOf({ leaseMs: 60_000 }))
      for (const [at, store] of stores.entries()) await store.claim(claims.slice(at, at + 1))
      const rivals = claims.map(({ id }) => claimOf({ id }))
      for (const store of stores) {
        expect((await store.claim(rivals)).map(({ status }) => status)).toEqual(['busy', 'busy'])
      }
      for (const store of stores) await store.close()
    })
  })
}
