import type { ClaimAnswer } from '@oncemq/core/store'
import { MysqlStore } from '@oncemq/mysql'
import { describeService } from '@oncemq/test-services/vitest'
import type { RowDataPacket } from 'mysql2/promise'
import { afterAll, expect, test } from 'vitest'
import { databaseOf, poolBefore } from './database.ts'
import { claimOf, claimsOf, completionOf } from '@oncemq/test-stores'

const STORED = 2000

for (const name of ['mysql-8.0', 'mariadb-11.8', 'mariadb-10.11'] as const) {
  describeService(name, (server) => {
    const { pool, end } = databaseOf(server)
    afterAll(end)

    /** Runs `work` with a pool that notes the statements, and answers them. */
    async function statementsOf(
      table: string,
      work: (store: MysqlStore) => Promise<unknown>,
    ): Promise<string[]> {
      const noted: string[] = []
      const noting = poolBefore(pool, (sql) => noted.push(sql))
      const store = new MysqlStore({ pool: noting, table })
      await store.open()
      noted.length = 0
      await work(store)
      await store.close()
      return noted
    }

    test('a new key is claimed and completed in two round trips, a batch in two more', async () => {
      const [lone, ...batch] = claimsOf(50) as [ReturnType<typeof claimsOf>[0]]
      const short = await statementsOf('trips', async (store) => {
        await store.claim([lone])
        await store.update([completionOf(lone)])
      })
      expect(short.map((statement) => statement.slice(0, 6))).toEqual(['INSERT', 'UPDATE'])
      const long = await statementsOf('trips', async (store) => {
        await store.claim(batch)
        await store.update(batch.map(completionOf))
      })
      const isolated = 'SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE'
      expect(long.map((statement) => statement.slice(0, isolated.length).split(' (')[0])).toEqual([
        isolated,
        expect.stringMatching(/^INSERT/),
        isolated,
        expect.stringMatching(/^UPDATE/),
      ])
    })

    test('a batch finds its records one by one by the primary key, however many there are', async () => {
      const result = Buffer.from('receipt')
      for (const stored of [0, STORED]) {
        const batch = claimsOf(200)
        const table = `planned_${stored}`
        const statements = await statementsOf(table, async (store) => {
          for (let keys = 0; keys < stored; keys += 500) await store.claim(claimsOf(500))
          await store.claim(batch)
          await store.update(batch.map(completionOf))
          await store.update(
            batch.map((claim, at) => ({ ...completionOf(claim), ...(at % 2 && { result }) })),
          )
        })
        const [alike, mixed] = statements.filter((statement) => statement.startsWith('UPDATE'))
        expect(await planOf(alike, table)).toMatchObject({
          type: 'range',
          key: 'PRIMARY',
        })
        expect(await planOf(mixed, 'record')).toMatchObject({ type: 'eq_ref', key: 'PRIMARY' })
      }
    })

    async function planOf(statement: string | undefined, table: string): Promise<RowDataPacket | undefined> {
      const [plan] = await pool.query<RowDataPacket[]>(`EXPLAIN ${statement}`)
      return plan.find((row) => row['table'] === table)
    }

    test('a new key among known ones is granted by the statement that creates it', async () => {
      const [known, done] = [claimOf(), claimOf()]
      const fresh = claimsOf(3)
      const claims = [fresh[0], claimOf({ id: known.id }), fresh[1], claimOf({ id: done.id }), fresh[2]]
      let answers: readonly ClaimAnswer[] = []
      const statements = await statementsOf('among', async (store) => {
        await store.claim([known, done])
        await store.update([completionOf(done)])
        answers = await store.claim(claims.filter((claim) => claim !== undefined))
      })
      expect(answers.map(({ status }) => status)).toEqual(['granted', 'busy', 'granted', 'done', 'granted'])
      expect(statements.slice(-3).map((statement) => statement.split(' ')[0])).toEqual([
        'SET',
        'INSERT',
        'SELECT',
      ])
    })

    test('a claim whose answer was lost has its lease renewed, also among new ones', async () => {
      const store = new MysqlStore({ pool, table: 'renewed' })
      await store.open()
      const claim = claimOf({ leaseMs: 5000 })
      const remaining = async () => (await store.inspect([claim.id]))[0]?.leaseRemainingMs
      await store.claim([claim])
      await expect.poll(remaining).toBeLessThan(4500)
      const granted = { status: 'granted', epoch: 1, attempt: 1 }
      expect(await store.claim([claimOf(), claim])).toEqual([granted, granted])
      expect(await remaining()).toBeGreaterThan(4500)
      await store.close()
    })

    test('what changes between a batch and its look at it is asked for again', async () => {
      const other = new MysqlStore({ pool, table: 'changing' })
      await other.open()
      const [done, running] = [claimOf(), claimOf()]
      await other.claim([done, running])
      await other.update([completionOf(done)])
      const rivals = [done, running].map(({ id }) => claimOf({ id }))
      let looks = 0
      const store = new MysqlStore({
        table: 'changing',
        pool: poolBefore(pool, async (sql) => {
          if (sql.startsWith('SELECT id') && (looks += 1) === 1) await other.forget([done.id])
        }),
      })
      await store.open()
      const answers = await store.claim(rivals)
      expect(answers).toMatchObject([
        { status: 'granted', epoch: 1 },
        { status: 'busy', epoch: 1 },
      ])
      expect(looks).toBe(1)
      await store.close()
      await other.close()
    })

    test('what changes at each look is busy for a moment', async () => {
      const other = new MysqlStore({ pool, table: 'restless' })
      await other.open()
      const claims = claimsOf(2)
      await other.claim(claims)
      const act = async (sql: string) => {
        if (sql.startsWith('SELECT id')) await other.forget(claims.map(({ id }) => id))
        if (sql.startsWith('INSERT')) await other.claim(claims)
      }
      const store = new MysqlStore({ table: 'restless', pool: poolBefore(pool, act) })
      await store.open()
      const answers = await store.claim(claims.map(({ id }) => claimOf({ id })))
      expect(answers).toEqual(claims.map(() => ({ status: 'busy', epoch: 0, leaseRemainingMs: 1 })))
      await store.close()
      await other.close()
    })

    test('what is written into a statement is digits, whatever the caller gives', async () => {
      const store = new MysqlStore({ pool, table: 'trips' })
      await store.open()
      const [claim] = claimsOf(1) as [ReturnType<typeof claimsOf>[0]]
      for (const id of [`' OR 1=1 -- `, `${'a'.repeat(31)}'`, 'A'.repeat(32), '']) {
        await expect(store.claim([{ ...claim, id }])).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED' })
        await expect(store.forget([id])).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED' })
      }
      await store.close()
    })
  })
}
