import { existsSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { SqliteStore, sqliteStoreDefaults } from '@oncemq/sqlite'
import type { SqliteStoreOptions } from '@oncemq/sqlite'
import { expect, test } from 'vitest'
import { fileOf } from './folder.ts'

const path = fileOf('options')

const wrong: readonly (readonly [what: string, options: unknown, message: RegExp])[] = [
  ['no options', undefined, /expected an options object/],
  ['neither path nor database', {}, /either path or database, received neither/],
  ['both', { path, database: new DatabaseSync(':memory:') }, /received both/],
  ['an empty path', { path: '' }, /path: expected the path of a file, received an empty one/],
  ['a path that is a number', { path: 7 }, /path: .* received 7/],
  ['a path with NUL', { path: 'a\0b' }, /NUL/],
  [
    'a foreign database',
    { database: { query: () => 1 } },
    /expected a DatabaseSync .* received an object \(Object\)/,
  ],
  ['a table with a quote', { path, table: 'a"b' }, /table: expected a letter/],
  ['a table of SQLite', { path, table: 'sqlite_x' }, /table/],
  ['an empty table', { path, table: '' }, /table/],
  ['a table that is too long', { path, table: 'x'.repeat(61) }, /at most 60/],
  ['an unknown level', { path, synchronous: 'full' }, /expected one of 'OFF', 'NORMAL', 'FULL', 'EXTRA'/],
  ['a negative time', { path, busyTimeoutMs: -1 }, /busyTimeoutMs: .* received -1/],
  ['an endless time', { path, busyTimeoutMs: Infinity }, /received Infinity/],
  [
    'synchronous with database',
    { database: new DatabaseSync(':memory:'), synchronous: 'FULL' },
    /PRAGMA synchronous/,
  ],
  ['a misspelt option', { path, busyTimeout: 5 }, /received 'busyTimeout'/],
]

test.each(wrong)('%s', (_what, options, message) => {
  expect(() => new SqliteStore(options as SqliteStoreOptions)).toThrow(
    expect.objectContaining({
      code: 'ONCEMQ_OPTION_INVALID',
      message: expect.stringMatching(message) as string,
    }),
  )
})

test('a constructor touches no file, and the defaults cannot be changed', () => {
  const unused = new SqliteStore({ path })
  expect([unused.name, existsSync(path), Object.isFrozen(sqliteStoreDefaults)]).toEqual([
    'sqlite',
    false,
    true,
  ])
})

test('before open every call says so', async () => {
  const unopened = new SqliteStore({ path })
  await expect(unopened.claim([])).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
  await expect(unopened.inspect([])).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
  await expect(unopened.sweep(1)).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
  await unopened.close()
})
