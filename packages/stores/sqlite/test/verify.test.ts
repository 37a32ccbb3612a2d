import { DatabaseSync } from 'node:sqlite'
import { SqliteStore } from '@oncemq/sqlite'
import type { SqliteStoreOptions } from '@oncemq/sqlite'
import { expect, test } from 'vitest'
import { fileOf } from './folder.ts'

async function codes(options: SqliteStoreOptions): Promise<string[]> {
  const store = new SqliteStore(options)
  const findings = await store.open()
  await store.close()
  expect(findings.every(({ severity }) => severity === 'warning')).toBe(true)
  return findings.map(({ code }) => code)
}

test('the defaults on a disk leave nothing to say', async () => {
  expect(await codes({ path: fileOf('plain') })).toEqual([])
  expect(await codes({ path: fileOf('extra'), synchronous: 'EXTRA' })).toEqual([])
})

test.each(['NORMAL', 'OFF'] as const)('synchronous %s is reported', async (synchronous) => {
  expect(await codes({ path: fileOf(synchronous), synchronous })).toEqual(['sqlite-synchronous'])
})

test('an injected connection is judged by its own settings, and keeps them', async () => {
  const database = new DatabaseSync(fileOf('injected'))
  database.exec('PRAGMA synchronous = NORMAL')
  expect(await codes({ database })).toEqual(['sqlite-journal', 'sqlite-synchronous'])
  expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'delete' })
  expect(database.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 1 })
  database.close()
})

test('a database in memory says so, and promises less', async () => {
  expect(await codes({ path: ':memory:' })).toEqual(['sqlite-memory'])
  const database = new DatabaseSync(':memory:')
  expect(await codes({ database })).toEqual(['sqlite-memory'])
  for (const store of [new SqliteStore({ path: ':memory:' }), new SqliteStore({ database })]) {
    expect(store.guarantees).toMatchObject({ durable: false, sharedBy: 'process' })
  }
  expect(new SqliteStore({ path: fileOf('plain') }).guarantees).toMatchObject({
    durable: true,
    sharedBy: 'machine',
  })
})
