import { MongoStore, mongoStoreDefaults } from '@oncemq/mongodb'
import type { MongoSession, MongoStoreOptions } from '@oncemq/mongodb'
import { MongoClient } from 'mongodb'
import type { ClientSession, Collection } from 'mongodb'
import { expect, expectTypeOf, test } from 'vitest'

const url = 'mongodb://127.0.0.1:1/?replicaSet=rs0'
const collection = new MongoClient(url).db().collection('oncemq')

const wrong: readonly (readonly [what: string, options: unknown, message: RegExp])[] = [
  ['no options', undefined, /expected an options object/],
  ['neither collection nor url', {}, /either url or a collection of your own client, received neither/],
  ['a name without url', { collection: 'oncemq' }, /received neither/],
  ['both', { collection, url }, /received both/],
  ['a URL of another scheme', { url: 'http://secret@localhost' }, /mongodb:\/\/ .*received another string/],
  ['a URL that is a number', { url: 7 }, /url: .* received 7/],
  [
    'a client',
    { collection: new MongoClient(url) },
    /expected a Collection .* received an object \(MongoClient\)/,
  ],
  ['null', { collection: null }, /received null/],
  ['a name with a dollar', { url, collection: 'a$b' }, /collection: expected a letter/],
  ['a name with NUL', { url, collection: 'a\0b' }, /collection/],
  ['a name of MongoDB', { url, collection: 'system.oncemq' }, /collection/],
  ['an empty name', { url, collection: '' }, /collection/],
  ['a name that is too long', { url, collection: 'x'.repeat(121) }, /at most 120/],
  ['a database with a dot', { url, database: 'a.b' }, /database: expected/],
  ['database with collection', { collection, database: 'shop' }, /database: expected none/],
  ['createSchema as text', { url, createSchema: 'no' }, /createSchema: expected one of true, false/],
  ['no time', { url, timeoutMs: 0 }, /timeoutMs: .* received 0/],
  ['an endless time', { url, timeoutMs: Infinity }, /received Infinity/],
  ['a misspelt option', { url, tableName: 'x' }, /received 'tableName'/],
]

test.each(wrong)('%s', (_what, options, message) => {
  const create = () => new MongoStore(options as MongoStoreOptions)
  expect(create).toThrow(
    expect.objectContaining({
      code: 'ONCEMQ_OPTION_INVALID',
      message: expect.stringMatching(message) as string,
    }),
  )
  expect(create).not.toThrow(/secret/)
})

test('a constructor connects to nothing, and the defaults cannot be changed', () => {
  expect(new MongoStore({ url }).name).toBe('mongodb')
  expect(Object.isFrozen(mongoStoreDefaults)).toBe(true)
})

test("the handler's tx is the session of the driver that the collection comes from", () => {
  const orders = collection as unknown as Collection<{ cents: number }>
  expectTypeOf(new MongoStore({ collection: orders })).toEqualTypeOf<MongoStore<ClientSession>>()
  expectTypeOf(new MongoStore({ url })).toEqualTypeOf<MongoStore<ClientSession>>()
  expectTypeOf(new MongoStore<MongoSession>({ url })).toEqualTypeOf<MongoStore<MongoSession>>()
})

test('before open every call says so', async () => {
  const unopened = new MongoStore({ collection })
  const closed = { code: 'ONCEMQ_CLOSED' }
  await expect(unopened.claim([])).rejects.toMatchObject(closed)
  await expect(unopened.update([])).rejects.toMatchObject(closed)
  await expect(unopened.inspect([])).rejects.toMatchObject(closed)
  await expect(unopened.transaction(() => Promise.reject(new Error('not run')))).rejects.toMatchObject(closed)
  await unopened.close()
})

test('a server that cannot be reached is named without its credentials', async () => {
  const store = new MongoStore({ url: 'mongodb://alice:secret@127.0.0.1:1/', timeoutMs: 200 })
  const failure = store.open()
  await expect(failure).rejects.toMatchObject({
    code: 'ONCEMQ_STORE_UNAVAILABLE',
    message: expect.stringMatching(/cannot be reached/) as string,
    cause: { name: 'MongoServerSelectionError' },
  })
  await expect(failure).rejects.not.toThrow(/secret|alice/)
  await store.close()
})

test('a URL that the driver refuses is refused', async () => {
  const store = new MongoStore({ url: 'mongodb://alice:secret@127.0.0.1/?noSuchOption=1' })
  await expect(store.open()).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED' })
  await expect(store.open()).rejects.not.toThrow(/secret/)
})
