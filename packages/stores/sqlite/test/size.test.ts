import { statSync } from 'node:fs'
import { SqliteStore } from '@oncemq/sqlite'
import { expect, test } from 'vitest'
import { fileOf } from './folder.ts'
import { claimsOf, completionOf } from '@oncemq/test-stores'

const KEYS = 50_000
const BATCH = 1000
// Each writes about as many pages as it has keys: three times what the log holds in all.
const SMALL_BATCH = 50

// The README's figures. The bounds leave room for the random ids, which fill the index by two thirds.
test.each([
  ['without a label', {}, 100, 115],
  ['with a label of 24 characters', { label: 'billing payment-00000001' }, 125, 140],
])('a key that is done takes the bytes that are documented, %s', async (what, given, min, max) => {
  const path = fileOf(what)
  const store = new SqliteStore({ path })
  await store.open()
  for (let keys = 0; keys < KEYS; keys += BATCH) {
    const claims = claimsOf(BATCH, given)
    await store.claim(claims)
    await store.update(claims.map(completionOf))
  }
  await store.close()
  const bytes = statSync(path).size / KEYS
  expect(bytes).toBeGreaterThan(min)
  expect(bytes).toBeLessThan(max)
})

test('the log beside the file takes the bytes that are documented', async () => {
  const path = fileOf('log')
  const store = new SqliteStore({ path })
  await store.open()
  for (let keys = 0; keys < KEYS; keys += SMALL_BATCH) await store.claim(claimsOf(SMALL_BATCH))
  const megabytes = statSync(`${path}-wal`).size / 1_000_000
  await store.close()
  expect(megabytes).toBeGreaterThan(60)
  expect(megabytes).toBeLessThan(70)
})
