import { PostgresStore, postgresStoreDefaults } from '@oncemq/postgres'
import type { PostgresClient, PostgresStoreOptions } from '@oncemq/postgres'
import pg from 'pg'
import { expect, expectTypeOf, test } from 'vitest'

const url = 'postgres://nobody:secret@127.0.0.1:1/none'
const pool = new pg.Pool({ connectionString: url })

const wrong: readonly (readonly [what: string, options: unknown, message: RegExp])[] = [
  ['no options', undefined, /expected an options object/],
  ['neither pool nor url', {}, /either pool or url, received neither/],
  ['both', { pool, url }, /received both/],
  ['a url of something else', { url: 'mysql://u:secret@h/d' }, /url: expected postgres:.* another string/],
  ['a url that is none', { url: 'postgres://[' }, /url: expected postgres:/],
  ['a url that is a number', { url: 7 }, /received 7/],
  ['a client for a pool', { pool: new pg.Client(url) }, /expected a Pool .* received an object \(Client\)/],
  ['a foreign pool', { pool: { query: () => 1 } }, /received an object \(Object\)/],
  ['a table with a quote', { pool, table: 'a"b' }, /table: expected a letter/],
  ['a table with two dots', { pool, table: 'a.b.c' }, /table/],
  ['a table without a name', { pool, table: 'app.' }, /table/],
  ['a table that is too long', { pool, table: 'x'.repeat(59) }, /at most 58/],
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
    thrown = new PostgresStore(options as PostgresStoreOptions)
  } catch (error) {
    thrown = error
  }
  expect(thrown).toMatchObject({ code: 'ONCEMQ_OPTION_INVALID' })
  expect((thrown as Error).message).toMatch(message)
  expect((thrown as Error).message).not.toContain('secret')
})

test('a constructor connects to nothing, and the defaults cannot be changed', () => {
  expect([new PostgresStore({ pool }).name, pool.totalCount, Object.isFrozen(postgresStoreDefaults)]).toEqual(
    ['postgres', 0, true],
  )
})

test('before open every call says so', async () => {
  const unopened = new PostgresStore({ pool })
  await expect(unopened.claim([])).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
  await expect(unopened.inspect([])).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
  await expect(unopened.sweep(1)).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
  await unopened.close()
})

test('a server that is not there is unavailable, and no word of the url is told', async () => {
  const failure = new PostgresStore({ url }).open()
  await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE', retryable: true })
  await expect(failure).rejects.toThrow(/ECONNREFUSED/)
  await expect(failure).rejects.not.toThrow(/secret|nobody/)
})

test("the handler's tx is the client of pg, unless the pool is another's", () => {
  expectTypeOf(new PostgresStore({ url })).toEqualTypeOf<PostgresStore<pg.PoolClient>>()
  expectTypeOf(new PostgresStore<PostgresClient>({ url })).toEqualTypeOf<PostgresStore<PostgresClient>>()
})
