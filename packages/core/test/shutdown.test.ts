import { describe, expect, test } from 'vitest'

import { createDeduplicator, MemoryStore, shutdown } from '../src/index.ts'
import type { ShutdownOptions } from '../src/index.ts'

function recorder() {
  const told: string[] = []
  const closable = (name: string, wait: () => Promise<void> = async () => undefined) => ({
    async close() {
      told.push(`${name} begins`)
      await wait()
      told.push(`${name} ends`)
    },
  })
  return { told, closable }
}

test('consumers are closed together, then deduplicators, then clients', async () => {
  const { told, closable } = recorder()
  const failures = await shutdown({
    clients: [closable('connection')],
    deduplicators: [closable('dedup')],
    consumers: [closable('first'), () => void told.push('second, a function')],
  })
  expect(failures).toEqual([])
  expect(told).toEqual([
    'first begins',
    'second, a function',
    'first ends',
    'dedup begins',
    'dedup ends',
    'connection begins',
    'connection ends',
  ])
})

test('what throws, rejects or hangs keeps nobody from being closed, and is answered', async () => {
  const { told, closable } = recorder()
  const gone = new Error('gone')
  const failures = await shutdown({
    consumers: [
      closable('a', () => new Promise(() => undefined)),
      () => Promise.reject(gone),
      () => {
        throw gone
      },
    ],
    deduplicators: [closable('dedup')],
    clients: [closable('connection')],
    timeoutMs: 100,
  })
  expect(String(failures[0])).toMatch(/expected one of consumers to close within \d+ ms, and it did not$/)
  expect(failures.slice(1)).toEqual([gone, gone])
  expect(told).toEqual(['a begins', 'dedup begins', 'dedup ends', 'connection begins', 'connection ends'])
})

test('a deduplicator gets a bound within the whole', async () => {
  let given = 0
  await shutdown({
    deduplicators: [{ close: ({ timeoutMs }) => void (given = timeoutMs) }],
    timeoutMs: 1000,
  })
  expect(given).toBeGreaterThan(0)
  expect(given).toBeLessThan(1000)
  const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'shutdown' })
  await dedup.open()
  expect(await shutdown({ deduplicators: [dedup] })).toEqual([])
  expect(dedup.health().store).toBe('closed')
})

describe('refuses', () => {
  test.each<[string, unknown, string]>([
    ['no options', undefined, 'shutdown: expected an options object, received undefined; pass { ... }'],
    ['a misspelt name', { consumer: [] }, "received 'consumer'; correct the name"],
    [
      'one that is no array',
      { consumers: async () => undefined },
      'consumers: expected an array of objects with close()',
    ],
    [
      'a promise of a consumer',
      { consumers: [Promise.resolve()] },
      'received one with a promise (await it first)',
    ],
    [
      'a time that is none',
      { timeoutMs: '25s' },
      "received '25s'; give 25000, or leave it out for the default",
    ],
  ])('%s', async (_, options, message) => {
    await expect(shutdown(options as ShutdownOptions)).rejects.toThrow(message)
  })
})
