import { DatabaseSync } from 'node:sqlite'
import { createDeduplicator } from '@oncemq/core'
import { SqliteStore } from '@oncemq/sqlite'
import { expect, test } from 'vitest'
import { effects, fileOf } from './folder.ts'

const HANDLERS = 2000

async function microtasks(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await Promise.resolve()
}

test('a handler with a connection of its own never finds the file locked by this process', async () => {
  const name = 'own-connection'
  await effects.prepare?.(name)
  // With no patience: a wait would be one in which this very process cannot go on.
  const own = new DatabaseSync(fileOf(name), { timeout: 0 })
  const insert = own.prepare('INSERT INTO effects (name) VALUES (?)')
  const dedup = createDeduplicator({ store: new SqliteStore({ path: fileOf(name) }), consumerGroup: 'own' })
  await dedup.open()
  const runs = Array.from({ length: HANDLERS }, async (_, number) => {
    await microtasks(number % 7)
    return dedup.run(`key-${number}`, async () => {
      await microtasks(number % 5)
      insert.run('row')
    })
  })
  const outcomes = await Promise.allSettled(runs)
  expect(outcomes.filter(({ status }) => status === 'rejected').length).toBe(0)
  expect(await effects.count(name, 'row')).toBe(HANDLERS)
  await dedup.close()
  own.close()
})
