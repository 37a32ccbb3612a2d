import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { SqliteStore } from '@oncemq/sqlite'
import { expect, test } from 'vitest'
import { startChild } from './children.ts'
import { fileOf, withDatabase } from './folder.ts'
import { claimOf, claimsOf, completionOf } from '@oncemq/test-stores'

// Permissions do not bind root, so that another user has to try.
const NOBODY = 65_534
const isRoot = process.getuid?.() === 0

function opened(path: string): Promise<unknown> {
  return new SqliteStore({ path }).open()
}

test('a folder that does not exist', async () => {
  const path = join(fileOf('no-such-folder'), 'oncemq.db')
  await expect(opened(path)).rejects.toMatchObject({
    code: 'ONCEMQ_STORE_UNAVAILABLE',
    message: expect.stringMatching(/no-such-folder.*create its folder/) as string,
    cause: { errcode: 14 },
  })
})

test('a folder in place of a file', async () => {
  const path = fileOf('folder')
  mkdirSync(path)
  await expect(opened(path)).rejects.toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE' })
})

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

test.each(['a path', 'a URI'])("files that the store creates at %s are their owner's alone", async (how) => {
  const folder = fileOf(`private by ${how}`)
  mkdirSync(folder, { mode: 0o755 })
  const path = join(folder, 'oncemq.db')
  const before = modeOf(folder)
  const store = new SqliteStore({ path: how === 'a URI' ? `file://${encodeURI(path)}?cache=private` : path })
  await store.open()
  await store.claim([claimOf({ label: 'secret' })])
  expect([path, `${path}-wal`, `${path}-shm`].map(modeOf)).toEqual(['600', '600', '600'])
  expect(modeOf(folder)).toBe(before)
  await store.close()
})

test('a file that is there keeps the rights that its owner gave it', async () => {
  const path = fileOf('shared')
  withDatabase(path, (database) => database.exec('CREATE TABLE mine (a)'))
  chmodSync(path, 0o640)
  const store = new SqliteStore({ path })
  await store.open()
  expect(modeOf(path)).toBe('640')
  await store.close()
})

test.each([':memory:', 'file::memory:', 'file:memory?mode=memory'])('%s makes no file', async (path) => {
  const store = new SqliteStore({ path })
  await store.open()
  expect((await store.claim([claimOf()]))[0]?.status).toBe('granted')
  await store.close()
  expect(['memory', ':memory:', path].filter((file) => existsSync(file))).toEqual([])
})

test('a path with control characters is shown with escapes', async () => {
  const failure = await opened(join(fileOf('no\u001b[31m\nfolder'), 'oncemq.db')).catch(String)
  expect(failure).toContain('no\\u{1b}[31m\\u{a}folder')
})

test('a file that is no database', async () => {
  const path = fileOf('text')
  writeFileSync(path, 'This is a letter to a friend.\n'.repeat(500))
  await expect(opened(path)).rejects.toMatchObject({ code: 'ONCEMQ_STORE_CORRUPT', cause: { errcode: 26 } })
})

test('a file that is damaged in the middle', async () => {
  const path = fileOf('damaged')
  const store = new SqliteStore({ path })
  await store.open()
  const claims = claimsOf(5000, { label: 'secret' })
  await store.claim(claims)
  await store.close()
  const file = openSync(path, 'r+')
  const { size } = statSync(path)
  writeSync(file, Buffer.alloc(size - 16_384, 0xa5), 0, size - 16_384, 16_384)
  closeSync(file)
  const use = async () => {
    await store.open()
    await store.claim(claims)
  }
  const failure = await use().catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'ONCEMQ_STORE_CORRUPT', cause: { errcode: 11 } })
  expect(String(failure)).not.toContain('secret')
  await store.close()
})

test.each(['file', 'folder'])('a %s that may not be written', async (what) => {
  const folder = fileOf(`read-only-${what}`)
  const path = join(folder, 'oncemq.db')
  mkdirSync(folder)
  chmodSync(join(folder, '..'), 0o755)
  const store = new SqliteStore({ path })
  await store.open()
  await store.close()
  chmodSync(path, 0o444)
  chmodSync(folder, what === 'file' ? 0o777 : 0o555)
  const child = startChild('open', path, {}, isRoot ? NOBODY : undefined)
  await child.told()
  child.tell('go')
  expect(await child.told()).toBe('ONCEMQ_STORE_UNAVAILABLE')
  chmodSync(folder, 0o755)
})

test.each(['without tables', 'with tables'])(
  'a connection %s that was opened for reading',
  async (tables) => {
    const path = fileOf(`read-only-${tables}`)
    withDatabase(path, (database) => database.exec('PRAGMA journal_mode = WAL; CREATE TABLE mine (a)'))
    if (tables === 'with tables') await opened(path)
    const database = new DatabaseSync(path, { readOnly: true })
    await expect(new SqliteStore({ database }).open()).rejects.toMatchObject({
      code: 'ONCEMQ_STORE_UNAVAILABLE',
      cause: { errcode: 8 },
    })
    database.close()
  },
)

test('a full disk fails whole batches, and works on when there is room', async () => {
  const database = new DatabaseSync(fileOf('full'))
  database.exec('PRAGMA journal_mode = WAL')
  const store = new SqliteStore({ database })
  await store.open()
  database.exec('PRAGMA max_page_count = 40')
  const batches = Array.from({ length: 50 }, () => claimsOf(100, { label: 'secret' }))
  let failed: ReturnType<typeof claimsOf> = []
  const fill = async () => {
    for (failed of batches) await store.claim(failed)
  }
  const failure = await fill().catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'ONCEMQ_STORE_FULL', retryable: true, cause: { errcode: 13 } })
  expect(String(failure)).not.toContain('secret')
  expect((await store.inspect(failed.map(({ id }) => id))).filter(Boolean)).toEqual([])
  expect(await store.update((batches[0] ?? []).map(completionOf))).toEqual(
    Array.from({ length: 100 }, () => 'ok'),
  )
  database.exec('PRAGMA max_page_count = 100000')
  expect((await store.claim(failed)).every(({ status }) => status === 'granted')).toBe(true)
  database.close()
})

test('tables of a newer version', async () => {
  const path = fileOf('newer')
  await opened(path)
  withDatabase(path, (database) => database.exec('UPDATE oncemq_meta SET value = 2'))
  await expect(opened(path)).rejects.toMatchObject({
    code: 'ONCEMQ_STORE_CORRUPT',
    message: expect.stringMatching(/expected schema version 1 .*received 2/) as string,
  })
})

test('a table of somebody else with the same name, which another name avoids', async () => {
  const path = fileOf('taken')
  withDatabase(path, (database) => database.exec('CREATE TABLE oncemq (name TEXT)'))
  await expect(opened(path)).rejects.toMatchObject({
    code: 'ONCEMQ_STORE_CORRUPT',
    message: expect.stringContaining('another table name') as string,
  })
  const store = new SqliteStore({ path, table: 'Order' })
  await store.open()
  expect((await store.claim([claimOf()]))[0]?.status).toBe('granted')
  await store.close()
})

test('a table that goes away under the store, and comes back', async () => {
  const path = fileOf('renamed')
  const store = new SqliteStore({ path })
  await store.open()
  withDatabase(path, (database) => database.exec('ALTER TABLE oncemq RENAME TO hidden'))
  await expect(store.claim([claimOf()])).rejects.toMatchObject({ code: 'ONCEMQ_STORE_CORRUPT' })
  withDatabase(path, (database) => database.exec('ALTER TABLE hidden RENAME TO oncemq'))
  expect((await store.claim([claimOf()]))[0]?.status).toBe('granted')
  await store.close()
})

test('tables made by hand from schema() are taken as they are', async () => {
  const path = fileOf('by-hand')
  const store = new SqliteStore({ path })
  withDatabase(path, (database) => database.exec(store.schema()))
  await store.open()
  expect((await store.claim([claimOf()]))[0]?.status).toBe('granted')
  await store.close()
})

test('an injected connection that its owner has closed', async () => {
  const database = new DatabaseSync(fileOf('closed'))
  const store = new SqliteStore({ database })
  await store.open()
  database.close()
  await expect(store.claim([claimOf()])).rejects.toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE' })
  await expect(store.inspect([claimOf().id])).rejects.toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE' })
  await store.close()
  await expect(store.open()).rejects.toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE' })
})
