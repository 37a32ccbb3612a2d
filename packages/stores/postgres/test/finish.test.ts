import { createDeduplicator, isOncemqError } from '@oncemq/core'
import { PostgresStore } from '@oncemq/postgres'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import { claimOf, completionOf } from '@oncemq/test-stores'
import { BOUND } from '@oncemq/test-stores/load'
import pg from 'pg'
import { afterAll, afterEach, expect, test, vi } from 'vitest'

describeService('postgres-18', { own: true }, (server) => {
  const pool = new pg.Pool({ connectionString: server.url, max: 6 })
  const stores: PostgresStore<pg.PoolClient>[] = []
  afterEach(() => Promise.all(stores.splice(0).map((store) => store.close())))
  afterAll(() => pool.end())

  async function open(table: string, Store = PostgresStore): Promise<PostgresStore<pg.PoolClient>> {
    const store = new Store<pg.PoolClient>({ pool, table, timeoutMs: 1000 })
    await store.open()
    stores.push(store)
    return store
  }

  async function transact(store: PostgresStore<pg.PoolClient>, ...statements: readonly string[]) {
    const claim = claimOf()
    await store.claim([claim])
    const work = async (tx: pg.PoolClient) => {
      for (const statement of statements) await tx.query(statement)
      return completionOf(claim)
    }
    const answer = await store
      .transaction(work)
      .catch((error: unknown) => (isOncemqError(error) ? error.code : error))
    return [answer, (await store.inspect([claim.id]))[0]?.state]
  }

  test('a claim that need not be durable waits for no standby, and one that has to be does', async () => {
    const store = await open('durability')
    const standby = async (names: string) => {
      await pool.query(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`)
      await pool.query('SELECT pg_reload_conf()')
      const now = async () => (await pool.query('SHOW synchronous_standby_names')).rows[0] as object
      await expect.poll(now, BOUND).toEqual({ synchronous_standby_names: names })
    }
    await standby('nobody')
    try {
      const claims = [claimOf(), claimOf()]
      const granted = claims.map(() => ({ status: 'granted', epoch: 1, attempt: 1 }))
      expect(await store.claim(claims, { isDurable: false })).toEqual(granted)
      expect(await store.claim([claims[0] as never], { isDurable: false })).toEqual(granted.slice(1))
      await expect(store.claim([claimOf()])).rejects.toMatchObject({ code: 'ONCEMQ_STORE_TIMEOUT' })
    } finally {
      await standby('')
    }
  })

  test('two stores of one pool and one table share what is prepared', async () => {
    const [one, other] = [await open('shared'), await open('shared')]
    for (let round = 0; round < 8; round += 1) {
      expect(await transact(one)).toEqual(['ok', 'done'])
      expect(await transact(other)).toEqual(['ok', 'done'])
    }
  })

  test('so do two copies of the package', async () => {
    vi.resetModules()
    const { PostgresStore: Copy } = await import('@oncemq/postgres')
    expect(Copy).not.toBe(PostgresStore)
    const [one, other] = [await open('copies'), await open('copies', Copy)]
    for (let round = 0; round < 8; round += 1) {
      expect(await transact(one)).toEqual(['ok', 'done'])
      expect(await transact(other)).toEqual(['ok', 'done'])
    }
  })

  test('a session that was emptied makes a conflict, and the next run goes without', async () => {
    const store = await open('emptied')
    expect(await transact(store)).toEqual(['ok', 'done'])
    expect(await transact(store, 'DEALLOCATE ALL')).toEqual(['ONCEMQ_TRANSACTION_CONFLICT', 'running'])
    const dedup = createDeduplicator({ store, consumerGroup: 'emptied', strategy: 'transactional' })
    const emptying = async ({ tx }: { tx: pg.PoolClient }) => void (await tx.query('DEALLOCATE ALL'))
    expect(await dedup.process({ key: 'a' }, emptying)).toMatchObject({ status: 'completed' })
    await dedup.close()
  })

  test('a handler that has committed by itself is found out, also by a lost connection', async () => {
    const proxy = await FaultProxy.open(server.url)
    const behind = new pg.Pool({ connectionString: proxy.url })
    behind.on('error', () => undefined)
    const store = new PostgresStore<pg.PoolClient>({ pool: behind, table: 'found_out', timeoutMs: 1000 })
    await store.open()
    const claim = claimOf()
    await store.claim([claim])
    const committed = store.transaction(async (tx) => {
      await tx.query('COMMIT')
      proxy.cutReplyAfter(1)
      return completionOf(claim)
    })
    await expect(committed).rejects.toMatchObject({ code: 'ONCEMQ_TRANSACTION_ENDED' })
    const lost = store.transaction(async () => {
      proxy.cutReplyAfter(1)
      return completionOf(claim)
    })
    await expect(lost).rejects.toMatchObject({ code: 'ONCEMQ_COMMIT_UNKNOWN' })
    await store.close()
    await behind.end()
    await proxy.close()
  })

  test.each([
    ['divides by zero', '1 / 0'],
    ['takes a logarithm', 'ln(0)'],
    ['reads a number', "'1 ended 0'::integer"],
    ['raises', "raised('P0001')"],
    ['raises a code of its own', "raised('PAY01')"],
  ])('a deferred trigger that %s refuses its message, which may be tried again', async (_, expression) => {
    const store = await open('alike')
    await pool.query(`DROP TABLE IF EXISTS alike_rows;
      CREATE TABLE alike_rows (id integer);
      CREATE OR REPLACE FUNCTION raised(code text) RETURNS void LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'unbalanced' USING ERRCODE = code; END $$;
      CREATE OR REPLACE FUNCTION checked() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM ${expression}; RETURN NULL; END $$;
      CREATE CONSTRAINT TRIGGER checked AFTER INSERT ON alike_rows DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION checked()`)
    const answer = await transact(store, 'INSERT INTO alike_rows VALUES (1)')
    expect(answer).toEqual(['ONCEMQ_STORE_REFUSED', 'running'])
  })
})
