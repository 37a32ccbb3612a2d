import { PostgresStore } from '@oncemq/postgres'
import { describeService } from '@oncemq/test-services/vitest'
import { afterAll, expect, test } from 'vitest'
import { lockWaitsOf } from '../src/lock-waits.ts'
import { statementsOf, tablesOf } from '../src/statements.ts'
import { databaseOf } from './database.ts'
import { claimsOf, completionOf, newHex } from '@oncemq/test-stores'

const BATCH = 256
const WAITS = lockWaitsOf({ timeoutMs: 4000 })

interface Plan {
  readonly 'Node Type': string
  readonly 'Parent Relationship'?: string
  readonly 'Relation Name'?: string
  readonly Operation?: string
  readonly Plans?: readonly Plan[]
}

describeService('postgres-18', (server) => {
  const { pool, end } = databaseOf(server)
  afterAll(end)

  function nodesOf(plan: Plan): Plan[] {
    return [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]
  }

  function outer(plan: Plan): Plan | undefined {
    return plan.Plans?.find((part) => part['Parent Relationship'] === 'Outer')
  }

  async function explain(statement: string, values: unknown[]): Promise<Plan[]> {
    const { rows } = await pool.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
      `EXPLAIN (FORMAT JSON) ${statement}`,
      values,
    )
    return nodesOf(rows[0]?.['QUERY PLAN'][0].Plan as Plan)
  }

  /** The plans of a batch of new claims, and of those that change records. */
  async function plans(table: string): Promise<{ insert: Plan[]; complete: Plan[]; others: Plan[][] }> {
    const { durable, completeMany, update } = statementsOf(tablesOf(table), WAITS)
    const { insertMany, claim } = durable
    const array = (value: () => unknown) => `{${Array.from({ length: BATCH }, value).join(',')}}`
    const [ids, claimIds, times] = [array(newHex), array(newHex), array(() => 1000)]
    // As the store gives a column of NULLs.
    const none = null
    const claims = [ids, claimIds, times, times, none, none]
    return {
      insert: await explain(insertMany.text, [ids, claimIds, '1 s', '2 s', none, none]),
      complete: await explain(completeMany, [ids, claimIds, '1 s', none]),
      others: [
        await explain(claim, claims),
        await explain(update(false), [ids, claimIds, array(() => 2), times, times, none, none]),
      ],
    }
  }

  // An empty table may be planned otherwise: there is nothing to lock in any order.
  test.each([2, 100, 20_000])(
    'in a table of %i rows, with or without statistics, entries find their records in their order',
    async (rows) => {
      const table = `planned_${rows}`
      await new PostgresStore({ pool, table }).open()
      await pool.query(`INSERT INTO ${table} SELECT gen_random_uuid(), 2, 1, 1, gen_random_uuid(), NULL, now()
        FROM generate_series(1, ${rows})`)
      for (const statistics of ['', `VACUUM ANALYZE ${table}`]) {
        await pool.query(statistics)
        const { insert, complete, others } = await plans(table)
        // Nothing reads the table, so that it may stay prepared however the table grows.
        expect(insert.filter((node) => node['Relation Name'] === table)).toMatchObject([
          { 'Node Type': 'ModifyTable' },
        ])
        for (const nodes of [complete, ...others]) {
          const change = nodes.find(({ Operation }) => Operation === 'Update') as Plan
          // The bound for locks is set first, once, by a node around what reads.
          const read = outer(change)
          const join = read?.['Node Type'] === 'Result' ? outer(read) : read
          expect(join?.['Node Type']).toBe('Nested Loop')
          // Completions come in the order of their ids.
          expect(join?.Plans?.[0]?.['Node Type']).toBe(nodes === complete ? 'Function Scan' : 'CTE Scan')
          const names = nodes.map((node) => node['Node Type'])
          expect(names.includes('Sort')).toBe(nodes !== complete)
          // A table of a page or two is read as a whole, which is cheap, and for each entry in turn.
          expect(rows > 1000 && names.includes('Seq Scan')).toBe(false)
        }
      }
    },
  )

  test('a batch takes one statement, and another one if not all of it is as usual', async () => {
    const store = new PostgresStore({ pool, table: 'counted' })
    await store.open()
    let statements = 0
    const counted = () => void (statements += 1)
    pool.on('acquire', counted)
    const statementsOfCall = async (call: () => Promise<unknown>) => {
      const before = statements
      await call()
      return statements - before
    }
    const claims = claimsOf(BATCH)
    const completions = claims.map(completionOf)
    const later = [...claimsOf(BATCH), { ...(claims[0] as (typeof claims)[0]), claimId: newHex() }]
    expect(await statementsOfCall(() => store.claim(claims))).toBe(1)
    expect(await statementsOfCall(() => store.update(completions))).toBe(1)
    expect(await statementsOfCall(() => store.claim(later))).toBe(2)
    expect(await statementsOfCall(() => store.update(completions))).toBe(2)
    pool.off('acquire', counted)
    await store.close()
  })

  test('completions touch no index: all updates are HOT', async () => {
    const store = new PostgresStore({ pool, table: 'hot' })
    await store.open()
    for (let round = 0; round < 10; round += 1) {
      const claims = claimsOf(BATCH, { label: 'billing payment-00000001' })
      await store.claim(claims)
      await store.update(claims.map(completionOf))
    }
    const counted = async () => {
      const { rows } = await pool.query<{ all: string; hot: string }>(
        `SELECT n_tup_upd AS all, n_tup_hot_upd AS hot FROM pg_stat_user_tables WHERE relname = 'hot'`,
      )
      return rows[0]
    }
    // The server counts a moment later.
    await expect.poll(counted, { timeout: 10_000 }).toMatchObject({ all: `${10 * BATCH}` })
    expect((await counted())?.hot).toBe(`${10 * BATCH}`)
    await store.close()
  })

  test('duplicates write nothing', async () => {
    const store = new PostgresStore({ pool, table: 'unwritten' })
    await store.open()
    const claims = claimsOf(BATCH)
    await store.claim(claims)
    await store.update(claims.slice(0, BATCH / 2).map(completionOf))
    const ctids = async () =>
      (await pool.query<object>('SELECT id, ctid, xmax FROM unwritten ORDER BY id')).rows
    const before = await ctids()
    const rivals = claims.map((claim) => ({ ...claim, claimId: newHex() }))
    expect(new Set((await store.claim(rivals)).map(({ status }) => status))).toEqual(
      new Set(['done', 'busy']),
    )
    await store.claim(rivals.slice(0, 1))
    expect(await ctids()).toEqual(before)
    await store.close()
  })
})
