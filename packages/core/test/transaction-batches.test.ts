import { createDeduplicator, OptionError, transactional } from '@oncemq/core'
import { deferred, StoreError, systemClock } from '@oncemq/core/store'
import type { NextMember, StoreGuarantees } from '@oncemq/core/store'
import { expect, test, vi } from 'vitest'
import type { Ledger } from './transactional-store.ts'
import { LedgerStore } from './transactional-store.ts'

type Work = Parameters<LedgerStore['transaction']>[0]

/** Batches without a transaction around: each commits by itself. */
class BatchingLedger extends LedgerStore {
  override readonly guarantees: StoreGuarantees = {
    ...new LedgerStore(systemClock).guarantees,
    batchesTransactions: 'savepoints',
  }
  readonly sizes: number[] = []
  conflicts = 0
  beginning: Promise<void> = Promise.resolve()
  underWay = 0
  underWayMax = 0

  async transactions(next: NextMember<Ledger>): Promise<void> {
    let size = 0
    this.underWayMax = Math.max(this.underWayMax, (this.underWay += 1))
    await this.beginning
    for (let member = next(); member !== undefined; member = next()) {
      size += 1
      if (this.conflicts-- > 0) {
        await member.work({ words: [] })
        member.reject(conflict())
      } else await this.transaction(member.work as Work, member.signal).then(member.resolve, member.reject)
    }
    this.sizes.push(size)
    this.underWay -= 1
  }
}

function conflict(): Error {
  return new StoreError('ONCEMQ_TRANSACTION_CONFLICT', 'another is in the way')
}

function openOn(store: LedgerStore, max: number) {
  const strategy = transactional({ batch: { max } })
  return createDeduplicator({ store, consumerGroup: 'batches', strategy })
}

test('messages that wait are handled in batches of at most max, and none waits for another', async () => {
  const store = new BatchingLedger(systemClock)
  const dedup = openOn(store, 4)
  const keys = Array.from({ length: 10 }, (_, at) => `key-${at}`)
  await Promise.all(keys.map((key) => dedup.run(key, ({ tx }) => void (tx as Ledger).words.push(key))))
  expect(store.committed.toSorted()).toEqual(keys.toSorted())
  expect(Math.max(...store.sizes)).toBe(4)
  store.sizes.length = 0
  await dedup.run('alone', () => undefined)
  expect(store.sizes).toEqual([])
  await dedup.close()
})

test.each([
  [7, 1],
  [15, 2],
  [64, 3],
])('of %i messages that wait further batches begin beside the first one: %i', async (count, expected) => {
  const store = new BatchingLedger(systemClock)
  Object.assign(store, { batching: { batchMax: 64, batchesInFlightMax: 1, transactionsInFlightMax: 3 } })
  const begun = deferred<void>()
  store.beginning = begun.promise
  const dedup = openOn(store, 64)
  const keys = Array.from({ length: count }, (_, at) => `key-${at}`)
  const all = Promise.all(keys.map((key) => dedup.run(key, ({ tx }) => void (tx as Ledger).words.push(key))))
  await vi.waitUntil(() => store.underWay === expected)
  begun.resolve()
  await all
  expect(store.underWayMax).toBe(expected)
  expect(store.committed.toSorted()).toEqual(keys.toSorted())
  await dedup.close()
})

test('what did not commit with its batch runs again by itself, in the same attempt', async () => {
  const store = new BatchingLedger(systemClock)
  store.conflicts = 3
  const dedup = openOn(store, 8)
  const attempts: number[] = []
  const handle = (key: string) =>
    dedup.run(key, ({ tx, attempt }) => {
      attempts.push(attempt)
      ;(tx as Ledger).words.push(key)
    })
  await Promise.all(['a', 'b', 'c', 'd'].map(handle))
  expect(store.committed.toSorted()).toEqual(['a', 'b', 'c', 'd'])
  expect(attempts).toEqual(Array(7).fill(1))
  await dedup.close()
})

test('a batch is refused where the store has none, and when its bound is none', () => {
  expect(() => openOn(new LedgerStore(systemClock), 4)).toThrow(OptionError)
  for (const batch of [{ max: 1 }, { max: 1025 }, { max: 2.5 }, {}, 64, null]) {
    expect(() => transactional({ batch: batch as { max: number } })).toThrow(OptionError)
  }
})
