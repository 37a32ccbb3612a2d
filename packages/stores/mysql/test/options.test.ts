import { MysqlStore, mysqlStoreDefaults } from '@oncemq/mysql'
import type { MysqlConnection, MysqlStoreOptions } from '@oncemq/mysql'
import callbacks from 'mysql2'
import mysql from 'mysql2/promise'
import { afterAll, expect, expectTypeOf, test } from 'vitest'

const url = 'mysql://nobody:secret@127.0.0.1:1/none'
const pool = mysql.createPool(url)
afterAll(() => pool.end())

const wrong: readonly (readonly [what: string, options: unknown, message: RegExp])[] = [
  ['no options', undefined, /expected an options object/],
  ['neither pool nor url', {}, /either pool or url, received neither/],
  ['both', { pool, url }, /received both/],
  ['a url of something else', { url: 'postgres://u:secret@h/d' }, /url: expected mysql:.* another string/],
  ['a url that is none', { url: 'mysql://[' }, /url: expected mysql:/],
  ['a url that is a number', { url: 7 }, /received 7/],
  ['a foreign pool', { pool: { query: () => 1 } }, /expected a pool .* received an object \(Object\)/],
  ['no pool', { pool: null }, /received null/],
  ['a table with a quote', { pool, table: 'a`b' }, /table: expected a letter/],
  ['a table with two dots', { pool, table: 'a.b.c' }, /table/],
  ['a table without a name', { pool, table: 'app.' }, /table/],
  ['a table that is too long', { pool, table: 'x'.repeat(60) }, /at most 59/],
  ['a time of nothing', { pool, timeoutMs: 0 }, /timeoutMs: .* received 0/],
  ['an endless time', { pool, timeoutMs: Infinity }, /received Infinity/],
  ['no transactions', { pool, transactionsMax: 0 }, /transactionsMax: .* received 0/],
  ['a short idle time', { pool, transactionIdleMs: 999 }, /transactionIdleMs: .* received 999/],
  ['an unknown isolation', { pool, isolation: 'snapshot' }, /expected one of 'read committed'/],
  ['a misspelt option', { pool, timeout: 5 }, /received 'timeout'/],
]

test.each(wrong)('%s', (_what, options, message) => {
  let thrown: unknown
  try {
    thrown = new MysqlStore(options as MysqlStoreOptions)
  } catch (error) {
    thrown = error
  }
  expect(thrown).toMatchObject({ code: 'ONCEMQ_OPTION_INVALID' })
  expect((thrown as Error).message).toMatch(message)
  expect((thrown as Error).message).not.toContain('secret')
})

test('a single connection is refused: it never connects again', async () => {
  const connection = callbacks.createConnection(url)
  connection.on('error', () => undefined)
  for (const single of [connection, connection.promise()]) {
    expect(() => new MysqlStore({ pool: single } as unknown as MysqlStoreOptions)).toThrow(/expected a pool/)
  }
  connection.destroy()
})

test('a constructor connects to nothing, and the defaults cannot be changed', () => {
  let connections = 0
  pool.on('enqueue', () => (connections += 1))
  pool.on('acquire', () => (connections += 1))
  expect([new MysqlStore({ pool }).name, connections, Object.isFrozen(mysqlStoreDefaults)]).toEqual([
    'mysql',
    0,
    true,
  ])
})

test('before open every call says so', async () => {
  const unopened = new MysqlStore({ pool })
  await expect(unopened.claim([])).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
  await expect(unopened.inspect([])).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
  await expect(unopened.sweep(1)).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
  await unopened.close()
})

test('a server that is not there is unavailable, and no word of the url is told', async () => {
  const failure = new MysqlStore({ url }).open()
  await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE', retryable: true })
  await expect(failure).rejects.toThrow(/ECONNREFUSED/)
  await expect(failure).rejects.not.toThrow(/secret|nobody/)
})

test("the handler's tx is the connection of mysql2, unless the pool is another's", () => {
  expectTypeOf(new MysqlStore({ url })).toEqualTypeOf<MysqlStore<mysql.PoolConnection>>()
  expectTypeOf(new MysqlStore<MysqlConnection>({ url })).toEqualTypeOf<MysqlStore<MysqlConnection>>()
})
