import { MysqlStore } from '@oncemq/mysql'
import { describeService } from '@oncemq/test-services/vitest'
import callbacks from 'mysql2'
import mysql from 'mysql2/promise'
import type { PoolOptions } from 'mysql2/promise'
import { afterAll, expect, test } from 'vitest'
import { claimOf, claimsOf, completionOf } from '@oncemq/test-stores'

const careless = {
  own: true,
  args: [
    '--log-bin=bin',
    '--server-id=1',
    '--binlog-format=STATEMENT',
    '--sync-binlog=0',
    '--innodb-flush-log-at-trx-commit=2',
    '--max-allowed-packet=1M',
    '--log-bin-trust-function-creators=1',
  ],
}

for (const name of ['mysql-8.0', 'mariadb-11.8'] as const) {
  describeService(name, careless, (server) => {
    const admin = mysql.createPool(server.url)
    afterAll(() => admin.end())

    async function findings(
      options: PoolOptions = {},
      table = 'oncemq',
      session = 'SET @nothing = 1',
      more = {},
    ) {
      const pool = callbacks.createPool({ uri: server.url, ...options })
      pool.on('connection', (connection) => connection.query(session))
      const store = new MysqlStore({ pool, table, ...more })
      const found = await store.open()
      await store.close()
      await pool.promise().end()
      return found.map(({ severity, code }) => `${severity} ${code}`)
    }

    const always = ['error mysql-binlog-format', 'warning mysql-flush-log', 'warning mysql-sync-binlog']

    test('a server that does not wait for the disk is reported', async () => {
      expect(await findings()).toEqual(always)
      const mixed = await findings({}, 'oncemq', "SET SESSION binlog_format = 'ROW'")
      expect(mixed).toEqual(always.slice(1))
    })

    test('another engine is refused', async () => {
      for (const statement of new MysqlStore({ pool: admin, table: 'unsafe' }).schema().split(';\n')) {
        if (statement !== '') await admin.query(statement.replace('InnoDB', 'MyISAM'))
      }
      expect(await findings({}, 'unsafe')).toContain('error mysql-engine')
      await admin.query('ALTER TABLE unsafe ENGINE = InnoDB')
      expect(await findings({}, 'unsafe')).toContain('error mysql-engine')
      await admin.query('ALTER TABLE unsafe_meta ENGINE = InnoDB')
      expect(await findings({}, 'unsafe')).toContain('error mysql-engine')
      await admin.query('ALTER TABLE unsafe_logs ENGINE = InnoDB')
      expect(await findings({}, 'unsafe')).toEqual(always)
    })

    test.each(['VARCHAR(32)', 'CHAR(16)', 'VARBINARY(16)', 'BINARY(8)'])(
      'a key of %s is refused',
      async (type) => {
        const table = type.replace(/\W/g, '')
        for (const statement of new MysqlStore({ pool: admin, table }).schema().split(';\n')) {
          if (statement !== '') await admin.query(statement.replace('BINARY(16)', type))
        }
        expect(await findings({}, table)).toContain('error mysql-key')
      },
    )

    test('a pool that handlers could hold alone is reported', async () => {
      expect(await findings({ connectionLimit: 2 })).toContain('warning mysql-pool')
      expect(await findings({ connectionLimit: 3 })).toEqual(always)
      expect(await findings({ connectionLimit: 0 })).toEqual(always)
      const asked = (connectionLimit: number): Promise<string[]> =>
        findings({ connectionLimit }, 'oncemq', 'SET @nothing = 1', { transactionsMax: 8 })
      expect(await asked(9)).toContain('warning mysql-pool')
      expect(await asked(10)).toEqual(always)
    })

    test('sql_safe_updates is refused where it refuses the statements', async () => {
      const found = await findings({}, 'oncemq', 'SET SESSION sql_safe_updates = 1')
      expect(found.includes('error mysql-safe-updates')).toBe(name !== 'mysql-8.0')
    })

    test('what the server cannot take is refused at once, and a batch of large results is cut', async () => {
      const pool = callbacks.createPool(server.url)
      pool.on('connection', (connection) => connection.query("SET SESSION binlog_format = 'ROW'"))
      const store = new MysqlStore({ pool, table: 'large' })
      await store.open()
      const claims = claimsOf(12)
      await store.claim(claims)
      const large = claims.map((claim) => ({ ...completionOf(claim), result: Buffer.alloc(300_000, 1) }))
      expect(await store.update(large)).toEqual(claims.map(() => 'ok'))
      const larger = claimOf()
      await store.claim([larger])
      const failure = store.update([{ ...completionOf(larger), result: Buffer.alloc(600_000, 1) }])
      await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED' })
      await expect(failure).rejects.toThrow(/max_allowed_packet/)
      await store.close()
      await pool.promise().end()
    })

    test('a server that is read-only is unavailable until it is not', async () => {
      const user = "'reader'@'127.0.0.1'"
      await admin.query(`CREATE USER ${user}`)
      await admin.query(`GRANT ALL ON test.* TO ${user}`)
      const pool = callbacks.createPool(server.url.replace('test@', 'reader@'))
      pool.on('connection', (connection) => connection.query('SET @nothing = 1'))
      const store = new MysqlStore({ pool, table: 'reading' })
      await store.open()
      await admin.query('SET GLOBAL read_only = 1')
      for (const failure of [store.claim([claimOf()]), new MysqlStore({ pool, table: 'reading' }).open()]) {
        await expect(failure).rejects.toMatchObject({
          code: 'ONCEMQ_STORE_UNAVAILABLE',
          cause: { errno: 1290 },
        })
        await expect(failure).rejects.toThrow(/read-only/)
      }
      await admin.query('SET GLOBAL read_only = 0')
      expect((await store.claim([claimOf()]))[0]?.status).toBe('granted')
      await store.close()
      await pool.promise().end()
    })
  })
}

describeService('mariadb-11.8', { args: ['--version=10.5.27-MariaDB'] }, (server) => {
  test('a server that is too old is refused', async () => {
    const store = new MysqlStore({ url: server.url })
    expect(await store.open()).toMatchObject([
      { severity: 'error', code: 'mysql-version', remedy: 'Use MariaDB 10.6.0 or newer.' },
    ])
    await store.close()
  })
})

describeService('mariadb-11.8', { args: ['--wsrep-on=ON'] }, (server) => {
  test('a node of a Galera cluster is reported', async () => {
    const store = new MysqlStore({ url: server.url })
    expect(await store.open()).toMatchObject([{ severity: 'warning', code: 'mysql-several-primaries' }])
    await store.close()
  })
})

for (const name of ['mysql-8.0', 'mariadb-11.8', 'mariadb-10.11'] as const) {
  describeService(name, (server) => {
    test('the defaults leave nothing to say, also with a pool of the store itself', async () => {
      const store = new MysqlStore({ url: server.url, table: 'verified' })
      expect(await store.open()).toEqual([])
      await store.close()
    })
  })
}
