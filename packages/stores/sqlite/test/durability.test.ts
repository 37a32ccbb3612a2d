import { DatabaseSync } from 'node:sqlite'
import { SqliteStore } from '@oncemq/sqlite'
import { claimOf } from '@oncemq/test-stores'
import { expect, test } from 'vitest'
import { fileOf } from './folder.ts'

/** A connection that notes how far each of its commits waits for the disk. */
function noting(name: string, journal: string) {
  const database = new DatabaseSync(fileOf(name))
  database.exec(`PRAGMA journal_mode = ${journal}; PRAGMA synchronous = EXTRA`)
  const levels: unknown[] = []
  const prepare = database.prepare.bind(database)
  const level = prepare('PRAGMA synchronous')
  database.prepare = (sql) => {
    const statement = prepare(sql)
    if (sql !== 'COMMIT') return statement
    const run = statement.run.bind(statement)
    statement.run = () => {
      levels.push(level.get()?.['synchronous'])
      return run()
    }
    return statement
  }
  return { database, levels }
}

test('the commit of claims that need not be durable does not wait for the disk, all others do', async () => {
  const { database, levels } = noting('durability', 'WAL')
  const store = new SqliteStore({ database })
  await store.open()
  levels.length = 0
  await store.claim([claimOf()], { isDurable: false })
  await store.claim([claimOf()])
  await Promise.all([store.claim([claimOf()], { isDurable: false }), store.claim([claimOf()])])
  expect(levels).toEqual([1, 3, 3])
  await store.close()
  database.close()
})

test('without a WAL journal all wait, since a commit that is cut could break the file', async () => {
  const { database, levels } = noting('journal', 'DELETE')
  const store = new SqliteStore({ database })
  await store.open()
  levels.length = 0
  await store.claim([claimOf()], { isDurable: false })
  expect(levels).toEqual([3])
  await store.close()
  database.close()
})
