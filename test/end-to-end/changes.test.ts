// What docs/upgrading.md says of workers that differ, side by side and one after the other.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Deduplicator } from '@oncemq/core'
import { createDeduplicator, naturalKey, watermark } from '@oncemq/core'
import { ManagedConsumer } from '@oncemq/core/broker'
import { SqliteStore } from '@oncemq/sqlite'
import { afterAll, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'oncemq-changes-'))
afterAll(() => rmSync(folder, { recursive: true }))

let files = 0
function newPath(): string {
  return join(folder, `${(files += 1)}.db`)
}

type Options = Partial<Parameters<typeof createDeduplicator>[0]>

function worker(path: string, options: Options = {}): Deduplicator<unknown> {
  return createDeduplicator({
    store: new SqliteStore({ path }),
    consumerGroup: 'billing',
    ...options,
  } as never)
}

async function statusOf(dedup: Deduplicator<unknown>, key: string, effects: string[]): Promise<string> {
  const { status } = await dedup.process({ key, source: 'orders' }, () => {
    effects.push(key)
  })
  return status
}

test('workers with lease and with transactional know each other by the same records', async () => {
  const path = newPath()
  const [lease, transactional] = [
    worker(path),
    worker(path, { strategy: 'transactional', busyTimeoutMs: 50 }),
  ]
  const effects: string[] = []
  expect(await statusOf(lease, 'order-1', effects)).toBe('completed')
  expect(await statusOf(transactional, 'order-1', effects)).toBe('duplicate')
  expect(await statusOf(transactional, 'order-2', effects)).toBe('completed')
  expect(await statusOf(lease, 'order-2', effects)).toBe('duplicate')
  let seen = ''
  await lease.process({ key: 'order-3', source: 'orders' }, async () => {
    seen = await statusOf(transactional, 'order-3', effects)
  })
  expect(seen).toBe('busy')
  expect(effects).toEqual(['order-1', 'order-2'])
  for (const each of [lease, transactional]) await each.close()
})

test.each([
  ['another consumer group', { consumerGroup: 'shipping' }],
  ['another scope of keys', { keyScope: 'group' }],
] as const)('to %s every key is new', async (_, options) => {
  const path = newPath()
  const effects: string[] = []
  for (const dedup of [worker(path), worker(path, options)]) {
    expect(await statusOf(dedup, 'order-1', effects)).toBe('completed')
    await dedup.close()
  }
  expect(effects).toEqual(['order-1', 'order-1'])
})

test.each([
  ['readable keys', { storeReadableKey: false }],
  ['times and attempts', { leaseMs: 5000, retentionMs: 90_000_000, attemptsMax: 3 }],
] as const)('%s may differ', async (_, options) => {
  const path = newPath()
  const effects: string[] = []
  const [before, after] = [worker(path), worker(path, options)]
  expect(await statusOf(before, 'order-1', effects)).toBe('completed')
  expect(await statusOf(after, 'order-1', effects)).toBe('duplicate')
  for (const dedup of [before, after]) await dedup.close()
})

test('a fingerprint that is turned on says nothing of what was done before', async () => {
  const path = newPath()
  const process = async (dedup: Deduplicator<unknown>, key: string, text: string): Promise<string> =>
    (await dedup.process({ key, source: 'orders', body: Buffer.from(text) }, () => undefined)).status
  const [before, after] = [worker(path), worker(path, { fingerprint: true })]
  expect(await process(before, 'order-1', 'one')).toBe('completed')
  expect(await process(after, 'order-1', 'other')).toBe('duplicate')
  expect(await process(after, 'order-2', 'one')).toBe('completed')
  expect(await process(after, 'order-2', 'other')).toBe('rejected')
  for (const dedup of [before, after]) await dedup.close()
})

test('from a natural key to records what was done before is new, and its insert fails', async () => {
  const path = newPath()
  const database = new DatabaseSync(path)
  database.exec('CREATE TABLE orders (id TEXT PRIMARY KEY)')
  const statuses: string[] = []
  for (const strategy of [naturalKey({ constraint: 'orders.id' }), 'transactional'] as const) {
    const dedup = worker(path, { strategy })
    const { status } = await dedup.process({ key: 'order-1', source: 'orders' }, (context) => {
      const { tx } = context as { tx: DatabaseSync }
      tx.prepare('INSERT INTO orders VALUES (?)').run('order-1')
    })
    statuses.push(status)
    await dedup.close()
  }
  expect(statuses).toEqual(['completed', 'failed'])
  database.close()
})

test.each([
  [true, 'duplicate'],
  [false, 'completed'],
])('from records to a watermark with record: %s, what is sent again is: %s', async (record, expected) => {
  const path = newPath()
  const effects: string[] = []
  const before = worker(path)
  expect(await statusOf(before, 'order-1', effects)).toBe('completed')
  await before.close()
  const after = worker(path, { strategy: watermark({ record }) })
  await after.open()
  const position = { log: await after.takeLog(['kafka', 'orders', '0']), offset: 9n }
  const { status } = await after.process({ key: 'order-1', source: 'orders', position }, () => undefined)
  expect(status).toBe(expected)
  await after.close()
})

test('a worker of another schema holds its messages, and touches nothing', async () => {
  const path = newPath()
  const effects: string[] = []
  const [before, other, after] = [worker(path), worker(path), worker(path)]
  expect(await statusOf(before, 'order-1', effects)).toBe('completed')
  await before.close()
  const database = new DatabaseSync(path)
  database.exec(`UPDATE oncemq_meta SET value = 2 WHERE name = 'schema_version'`)
  await expect(other.open()).rejects.toMatchObject({ code: 'ONCEMQ_STORE_CORRUPT' })
  const never = (): never => {
    throw new Error('expected nothing to be received')
  }
  const consumer = ManagedConsumer.start({
    dedup: other as never,
    source: { open: never, close: async () => undefined },
    key: never,
    middlewares: [],
    retry: { firstMs: 1000, factor: 2, maxMs: 60_000 },
    concurrency: 1,
    window: 1,
    holdMs: 1000,
    handler: never,
  })
  await expect(consumer).rejects.toMatchObject({ code: 'ONCEMQ_STORE_CORRUPT' })
  // Of a wrapped consumer, whose settlement is to hold.
  expect(await statusOf(other, 'order-2', effects)).toBe('store-refused')
  await other.close()
  database.exec(`UPDATE oncemq_meta SET value = 1 WHERE name = 'schema_version'`)
  expect(await statusOf(after, 'order-1', effects)).toBe('duplicate')
  expect(await statusOf(after, 'order-2', effects)).toBe('completed')
  expect(effects).toEqual(['order-1', 'order-2'])
  await after.close()
  database.close()
})
