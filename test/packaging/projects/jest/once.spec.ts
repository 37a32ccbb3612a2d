import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDeduplicator, isOncemqError, MemoryStore } from '@oncemq/core'
import type { Store } from '@oncemq/core/store'
import { VirtualClock } from '@oncemq/core/testing'
import { dedupListener } from '@oncemq/rocketmq'
import { MongoStore } from '@oncemq/mongodb'
import { MysqlStore } from '@oncemq/mysql'
import { PostgresStore } from '@oncemq/postgres'
import { dedupChannel } from '@oncemq/rabbitmq'
import { RedisStore } from '@oncemq/redis'
import { duplicateKeyOf, SqliteStore } from '@oncemq/sqlite'

const folder = mkdtempSync(join(tmpdir(), 'jest-'))

afterAll(() => {
  rmSync(folder, { recursive: true })
})

test('work runs once', async () => {
  const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'billing', fingerprint: true })
  const work = jest.fn()
  await dedup.run('a', work, { body: Buffer.from('a') })
  await dedup.run('a', work, { body: new Uint8Array([97]) })
  expect(work).toHaveBeenCalledTimes(1)
  await dedup.close()
})

test('also in SQLite, whose errors are those of another realm', async () => {
  const store = new SqliteStore({ path: join(folder, 'shop.db') })
  const dedup = createDeduplicator({ store, consumerGroup: 'billing', strategy: 'transactional' })
  let thrown: unknown
  await dedup.run('a', ({ tx }) => {
    tx.exec('CREATE TABLE orders (id TEXT PRIMARY KEY); INSERT INTO orders VALUES (1)')
    try {
      tx.exec('INSERT INTO orders VALUES (1)')
    } catch (error) {
      thrown = error
    }
  })
  expect(thrown instanceof Error).toBe(false)
  expect(duplicateKeyOf(thrown)).toEqual(['orders.id'])
  await dedup.close()
})

test("Node's own errors keep their names", async () => {
  const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'billing' })
  const failing = dedup.run('a', () => {
    readFileSync(join(folder, 'missing'))
  })
  await expect(failing).rejects.toMatchObject({ code: 'ENOENT' })
  await dedup.close()
})

const port = 1
const stores: readonly (readonly [name: string, store: () => Store])[] = [
  ['pg', () => new PostgresStore({ url: `postgres://user@127.0.0.1:${port}/shop`, timeoutMs: 500 })],
  ['mysql2', () => new MysqlStore({ url: `mysql://user@127.0.0.1:${port}/shop`, timeoutMs: 500 })],
  [
    'mongodb',
    () => new MongoStore({ url: `mongodb://127.0.0.1:${port}/`, database: 'shop', timeoutMs: 500 }),
  ],
  ['ioredis', () => new RedisStore({ url: `redis://127.0.0.1:${port}`, callTimeoutMs: 500 })],
]

test.each(stores)('%s is loaded by the store, and finds no server', async (_, make) => {
  const store = make()
  const error: unknown = await store.open().catch((thrown: unknown) => thrown)
  expect(isOncemqError(error) && error.retryable).toBe(true)
  await store.close()
})

test('the adapters say what they need', async () => {
  const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'billing' })
  expect(() => dedupChannel({} as never, dedup)).toThrow('expected a channel of amqplib')
  expect(() => dedupListener({ consume: () => undefined }, dedup)).toThrow('install it')
  await dedup.close()
})

test('time can be a virtual one', () => {
  expect(new VirtualClock().nowMs()).toEqual(expect.any(Number))
})
