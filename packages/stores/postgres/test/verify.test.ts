import { PostgresStore } from '@oncemq/postgres'
import { describeService } from '@oncemq/test-services/vitest'
import pg from 'pg'
import { afterAll, expect, test } from 'vitest'
import { claimOf } from '@oncemq/test-stores'

const off = { own: true, args: ['-c', 'fsync=off', '-c', 'full_page_writes=off'] }

describeService('postgres-18', off, (server) => {
  const pool = new pg.Pool({ connectionString: server.url, max: 10 })
  afterAll(() => pool.end())

  async function findings(options: pg.PoolConfig, table = 'oncemq', more = {}): Promise<string[]> {
    const own = new pg.Pool({ connectionString: server.url, ...options })
    const store = new PostgresStore({ pool: own, table, ...more })
    const found = await store.open()
    await store.close()
    await own.end()
    return found.map(({ severity, code }) => `${severity} ${code}`)
  }

  const always = ['error postgres-fsync', 'warning postgres-full-page-writes']

  test('a server that does not wait for the disk is refused', async () => {
    expect(await findings({})).toEqual(always)
  })

  test('synchronous_commit off loses answered commits, local only with standbys', async () => {
    const setting = (value: string) => ({ options: `-c synchronous_commit=${value}` })
    expect(await findings(setting('off'))).toContain('error postgres-synchronous-commit')
    expect(await findings(setting('local'))).toEqual(always)
    expect(await findings(setting('remote_write'))).toEqual(always)
  })

  test('an unlogged table is refused', async () => {
    await pool.query(new PostgresStore({ pool, table: 'unlogged' }).schema())
    await pool.query('ALTER TABLE unlogged SET UNLOGGED')
    expect(await findings({}, 'unlogged')).toContain('error postgres-unlogged')
  })

  test('a pool that handlers could hold alone is reported', async () => {
    expect(await findings({ max: 2 })).toContain('warning postgres-pool')
    expect(await findings({ max: 3 })).toEqual(always)
    expect(await findings({ max: 9 }, 'oncemq', { transactionsMax: 8 })).toContain('warning postgres-pool')
    expect(await findings({ max: 10 }, 'oncemq', { transactionsMax: 8 })).toEqual(always)
  })

  test('an old server is reported', async () => {
    // No server that old can be had; so that one says of itself that it is.
    const older = async (): Promise<pg.PoolClient> => {
      const client = await pool.connect()
      const query = client.query.bind(client) as (given: pg.QueryConfig) => Promise<pg.QueryResult>
      const asked = ({ text, ...rest }: pg.QueryConfig) =>
        query({ ...rest, text: text.replace(`current_setting('server_version_num')`, `'130022'`) })
      return Object.assign(Object.create(client) as pg.PoolClient, { query: asked })
    }
    const store = new PostgresStore({
      pool: Object.assign(Object.create(pool) as pg.Pool, { connect: older }),
    })
    const found = await store.open()
    expect(found.map(({ code }) => code)).toContain('postgres-version')
    await store.close()
  })

  test('another encoding is refused, and what it cannot hold is a clear error', async () => {
    await pool.query(`CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`)
    const connectionString = server.url.replace(/postgres$/, 'latin')
    expect(await findings({ connectionString })).toContain('error postgres-encoding')
    const store = new PostgresStore({ url: connectionString })
    await store.open()
    const failure = store.claim([claimOf({ label: '\u4e2d\u6587' })])
    await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED' })
    await expect(failure).rejects.not.toThrow(/\u4e2d/)
    expect((await store.claim([claimOf({ label: 'plain' })]))[0]?.status).toBe('granted')
    await store.close()
  })

  test('a server that is read-only is unavailable until it is not', async () => {
    const readOnly = new pg.Pool({
      connectionString: server.url,
      options: '-c default_transaction_read_only=on',
    })
    const store = new PostgresStore({ pool: readOnly })
    await expect(store.open()).rejects.toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE' })
    await expect(store.open()).rejects.toThrow(/read-only/)
    readOnly.options.options = '-c default_transaction_read_only=off'
    // The only connection so far; the next one takes the new setting.
    const client = await readOnly.connect()
    client.release(true)
    expect((await store.open()).map(({ code }) => code)).toContain('postgres-fsync')
    await store.close()
    await readOnly.end()
  })

  test('a server that becomes read-only is unavailable, and its connections are not used again', async () => {
    const store = new PostgresStore({ url: server.url })
    await store.open()
    const setReadOnly = async (value: string) => {
      await pool.query(`ALTER DATABASE postgres SET default_transaction_read_only = ${value}`)
    }
    await setReadOnly('on')
    // A connection keeps what it began with, as that to a former primary would.
    await pool.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()`)
    await expect
      .poll(() => store.claim([claimOf()]).catch((error: unknown) => error))
      .toMatchObject({
        code: 'ONCEMQ_STORE_UNAVAILABLE',
        cause: { code: '25006' },
      })
    await pool.query(`SET default_transaction_read_only = off; ALTER DATABASE postgres RESET ALL`)
    await expect.poll(async () => (await store.claim([claimOf()]))[0]?.status).toBe('granted')
    await store.close()
  })
})

describeService('postgres-18', (server) => {
  test('the defaults leave nothing to say, also with a pool of the store itself', async () => {
    const store = new PostgresStore({ url: server.url, table: 'verified' })
    expect(await store.open()).toEqual([])
    await store.close()
  })
})
