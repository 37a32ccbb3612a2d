import type { ClaimRequest } from '@oncemq/core/store'
import { PostgresStore } from '@oncemq/postgres'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import { claimOf, claimsOf, completionOf, newHex } from '@oncemq/test-stores'
import { BOUND } from '@oncemq/test-stores/load'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

const TABLE = 'locked_rows'
const OTHERS = 40
const ROUNDS = 40
/** Long before the store would give up. */
const SOON_MS = 1500

describeService('postgres-18', (server) => {
  const pool = new pg.Pool({ connectionString: server.url, max: 12 })
  const store = new PostgresStore({ pool, table: TABLE })
  const ends: (() => Promise<unknown>)[] = []

  beforeAll(() => store.open())
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end()
  })
  afterAll(async () => {
    await store.close()
    await pool.end()
  })

  /** A transaction of somebody else, which ends with the test at the latest. */
  async function locking(statement: string): Promise<{ end(): Promise<void> }> {
    const client = new pg.Client(server.url)
    await client.connect()
    await client.query(`BEGIN; ${statement}`)
    ends.push(() => client.end())
    return { end: async () => void (await client.query('ROLLBACK')) }
  }

  const change = (id: string): string => `UPDATE ${TABLE} SET result = NULL WHERE id = '${id}'`

  /** A record whose lease is over, so that it could be taken if it were not locked. */
  async function lapsed(given: Partial<ClaimRequest> = {}) {
    const claim = claimOf({ leaseMs: 1, ...given })
    await store.claim([claim])
    await expect.poll(async () => (await store.inspect([claim.id]))[0]?.leaseRemainingMs).toBeLessThan(0)
    return claim
  }

  async function waiting(): Promise<number | null> {
    const { rowCount } = await pool.query(
      `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%${TABLE}%'`,
    )
    return rowCount
  }

  async function timed<Answer>(call: () => Promise<Answer>): Promise<[Answer, number]> {
    const startMs = performance.now()
    return [await call(), performance.now() - startMs]
  }

  describe('a claim of a locked record is busy, and the others of its batch do not wait', () => {
    test.each<[string, (id: string) => string]>([
      ['that was changed', change],
      ['that was removed', (id) => `DELETE FROM ${TABLE} WHERE id = '${id}'`],
      [
        'that is being inserted',
        (id) =>
          `DELETE FROM ${TABLE} WHERE id = '${id}'; INSERT INTO ${TABLE}
           SELECT '${id}', 1, 1, 1, gen_random_uuid(), now(), now()`,
      ],
    ])('%s', async (_what, statement) => {
      const victim = await lapsed()
      const lock = await locking(statement(victim.id))
      const rival = claimOf({ id: victim.id })
      const [[lone], loneMs] = await timed(() => store.claim([rival]))
      expect(lone?.status).toBe('busy')
      const others = claimsOf(OTHERS)
      const [answers, batchMs] = await timed(() =>
        store.claim([...others.slice(7), rival, ...others.slice(0, 7)]),
      )
      expect(answers.map(({ status }) => status)).toEqual(
        [...others.slice(7), rival, ...others.slice(0, 7)].map((claim) =>
          claim === rival ? 'busy' : 'granted',
        ),
      )
      expect([loneMs < SOON_MS, batchMs < SOON_MS]).toEqual([true, true])
      expect(await waiting()).toBe(0)
      await lock.end()
      expect(await store.claim([rival])).toEqual([{ status: 'granted', epoch: 2, attempt: 2 }])
    })

    test('however many are locked', async () => {
      const victims = await Promise.all(Array.from({ length: OTHERS }, () => lapsed()))
      const ids = victims.map(({ id }) => `'${id}'`).join(', ')
      const lock = await locking(`UPDATE ${TABLE} SET result = NULL WHERE id IN (${ids})`)
      const rivals = victims.flatMap(({ id }) => [claimOf({ id }), claimOf()])
      const [answers, batchMs] = await timed(() => store.claim(rivals))
      expect(answers.map(({ status }) => status)).toEqual(victims.flatMap(() => ['busy', 'granted']))
      expect(batchMs).toBeLessThan(SOON_MS)
      await lock.end()
    })

    test('that is known to be locked: the others do not wait at all', async () => {
      const victim = await lapsed()
      const lock = await locking(change(victim.id))
      const rival = claimOf({ id: victim.id })
      await store.claim([rival])
      const [, allMs] = await timed(async () => {
        for (let round = 0; round < ROUNDS; round += 1) {
          const answers = await store.claim([claimOf(), rival, claimOf()])
          expect(answers.map(({ status }) => status)).toEqual(['granted', 'busy', 'granted'])
        }
      })
      expect(allMs).toBeLessThan(SOON_MS)
      await lock.end()
      expect((await store.claim([claimOf(), rival])).map(({ status }) => status)).toEqual([
        'granted',
        'granted',
      ])
    })

    test('and of another payload they stay conflicts', async () => {
      const [victim, other] = [await lapsed(), await lapsed({ fingerprint: newHex() })]
      const lock = await locking(change(victim.id))
      const rivals = [claimOf({ id: victim.id }), claimOf({ id: other.id, fingerprint: newHex() })]
      expect((await store.claim(rivals)).map(({ status }) => status)).toEqual(['busy', 'conflict'])
      expect((await store.inspect([other.id]))[0]).toMatchObject({ epoch: 1, fingerprint: other.fingerprint })
      await lock.end()
    })

    test('whose first insert is not committed', async () => {
      const rival = claimOf()
      const columns = 'id, state, attempts, epoch, claim_id, lease_until, expires_at'
      const lock = await locking(
        `INSERT INTO ${TABLE} (${columns}) SELECT '${rival.id}', 1, 1, 1, gen_random_uuid(), now(), now()`,
      )
      const others = claimsOf(OTHERS)
      const [answers, batchMs] = await timed(() => store.claim([...others, rival]))
      expect(answers.map(({ status }) => status)).toEqual([...others.map(() => 'granted'), 'busy'])
      expect(batchMs).toBeLessThan(SOON_MS)
      await lock.end()
      expect(await store.claim([rival])).toEqual([{ status: 'granted', epoch: 1, attempt: 1 }])
    })
  })

  test('updates with a locked record fail soon, by the server, and each half goes by itself', async () => {
    const claims = claimsOf(3)
    await store.claim(claims)
    const [victim, ...others] = claims as [(typeof claims)[0], ...typeof claims]
    const lock = await locking(change(victim.id))
    const batch = claims.map(completionOf)
    const renewals = batch.map((update) => ({ ...update, op: 'renew' as const, leaseMs: 60_000 }))
    for (const updates of [batch, renewals]) {
      const [failure, tookMs] = await timed(() => store.update(updates).catch((error: unknown) => error))
      expect(failure).toMatchObject({ code: 'ONCEMQ_STORE_TIMEOUT', retryable: true })
      expect(tookMs).toBeLessThan(SOON_MS)
      expect(await waiting()).toBe(0)
    }
    expect(await store.update(others.map(completionOf))).toEqual(['ok', 'ok'])
    await lock.end()
    expect(await store.update(batch)).toEqual(['ok', 'ok', 'ok'])
  })

  test('what is given up leaves nobody waiting on the server', async () => {
    const hasty = new PostgresStore({ url: server.url, table: TABLE, timeoutMs: 1000 })
    await hasty.open()
    ends.push(() => hasty.close())
    await locking(`LOCK TABLE ${TABLE}`)
    for (let call = 0; call < 3; call += 1) {
      await expect(hasty.claim(claimsOf(2))).rejects.toMatchObject({ code: 'ONCEMQ_STORE_TIMEOUT' })
    }
    // The table stays locked: they end because they were told.
    await expect.poll(waiting, BOUND).toBe(0)
  })

  describe('of a worker whose host vanishes', () => {
    /** A store behind a proxy, whose pool does `act` before each statement. */
    async function worker(act: (sql: string, proxy: FaultProxy) => void, transactionIdleMs?: number) {
      const proxy = await FaultProxy.open(server.url)
      const behind = new pg.Pool({ connectionString: proxy.url })
      behind.on('error', () => undefined)
      behind.on('connect', (client) => {
        const query = client.query.bind(client) as (...given: unknown[]) => unknown
        Object.assign(client, {
          query(...given: [{ text: string }]) {
            act(given[0].text, proxy)
            return query(...given)
          },
        })
      })
      const options = { pool: behind, table: TABLE, timeoutMs: 500 }
      const vanishing = new PostgresStore<pg.PoolClient>(
        transactionIdleMs === undefined ? options : { ...options, transactionIdleMs },
      )
      await vanishing.open()
      ends.push(async () => {
        await vanishing.close()
        await behind.end()
        await proxy.close()
      })
      return { vanishing, proxy }
    }

    test('before its COMMIT the record is free for others soon', async () => {
      const { vanishing } = await worker((sql, proxy) => {
        if (sql === 'COMMIT') proxy.vanish()
      })
      const claim = claimOf({ leaseMs: 1 })
      await vanishing.claim([claim])
      const gone = vanishing.transaction(async () => completionOf(claim))
      await expect(gone).rejects.toMatchObject({ code: 'ONCEMQ_COMMIT_UNKNOWN' })
      const rival = claimOf({ id: claim.id })
      expect((await store.claim([rival]))[0]?.status).toBe('busy')
      await expect.poll(async () => (await store.claim([rival]))[0]?.status, BOUND).toBe('granted')
    })

    test('in its handler, the locks of its own rows are too', async () => {
      await pool.query('CREATE TABLE vanished (id integer PRIMARY KEY); INSERT INTO vanished VALUES (1)')
      const { vanishing, proxy } = await worker(() => undefined, 1000)
      const claim = claimOf()
      await vanishing.claim([claim])
      const gone = vanishing.transaction(async (tx) => {
        await tx.query('DELETE FROM vanished')
        proxy.vanish()
        return completionOf(claim)
      })
      await expect(gone).rejects.toMatchObject({ code: 'ONCEMQ_STORE_TIMEOUT' })
      await pool.query(`BEGIN; SET LOCAL lock_timeout = '10s'; DELETE FROM vanished; COMMIT`)
      expect((await pool.query('SELECT FROM vanished')).rowCount).toBe(0)
    })
  })

  test('a handler that leaves its transaction alone for too long has failed', async () => {
    const strict = new PostgresStore({ pool, table: TABLE, transactionIdleMs: 1000 })
    await strict.open()
    const claim = claimOf()
    await strict.claim([claim])
    const idle = strict.transaction(async (tx) => {
      await tx.query({ text: 'SELECT 1' })
      await new Promise((resolve) => setTimeout(resolve, 1500))
      return completionOf(claim)
    })
    await expect(idle).rejects.toMatchObject({ code: 'ONCEMQ_HANDLER_TIMEOUT' })
    const { rows } = await pool.query(`SELECT current_setting('idle_in_transaction_session_timeout') AS now`)
    expect(rows).toEqual([{ now: '0' }])
    await strict.close()
  })
})
