import { createDeduplicator, naturalKey } from '@oncemq/core'
import type { Deduplicator, ProcessOutcome } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Shop } from './shop.ts'
import { mongoShop, mysqlShop, postgresShop, sqliteShop } from './shop.ts'

/** What holds on every database, whatever its errors look like. */
function guardedByItsKey<Tx>(open: () => Promise<Shop<Tx>>): void {
  let shop: Shop<Tx>
  const opened: Deduplicator<Tx>[] = []
  let orders = 0

  beforeAll(async () => {
    shop = await open()
  })
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((dedup) => dedup.close()))
  })
  afterAll(() => shop.close())

  function dedupOf(constraint: string | readonly string[] = shop.keys.id): Deduplicator<Tx> {
    const strategy = naturalKey({ constraint })
    const dedup = createDeduplicator<Tx>({ store: shop.store, consumerGroup: 'orders', strategy })
    opened.push(dedup)
    return dedup
  }

  const newId = () => `order-${(orders += 1)}`
  const newRef = () => `ref-${(orders += 1)}`

  test('a delivery whose insert violates the key is a duplicate, and what it wrote before is gone', async () => {
    const dedup = dedupOf()
    const id = newId()
    const notes = await shop.notes()
    const handle = () =>
      dedup.process({ key: id }, async ({ tx }) => {
        await shop.note(tx, id)
        await shop.order(tx, id, newRef())
      })
    expect(await handle()).toMatchObject({ status: 'completed', protected: true })
    expect(await handle()).toEqual({ status: 'duplicate', result: undefined })
    expect(await shop.notes()).toBe(notes + 1)
    expect(dedup.counts()).toMatchObject({
      completed: 1,
      duplicate: 1,
      failed: 0,
      granted: 0,
      unprotected: 0,
    })
    expect(await dedup.inspect(id)).toBeUndefined()
  })

  test('so it is behind the errors of others, and without a key of the message', async () => {
    const dedup = dedupOf()
    const id = newId()
    const handle = () =>
      dedup.process({ key: undefined }, async ({ tx }) => {
        try {
          await shop.order(tx, id, newRef())
        } catch (cause) {
          throw new Error('the order was not written', { cause })
        }
      })
    expect([(await handle()).status, (await handle()).status]).toEqual(['completed', 'duplicate'])
  })

  test('another unique key is the failure of the handler', async () => {
    const dedup = dedupOf()
    const [first, second] = [newId(), newId()]
    const handle = (id: string) =>
      dedup.process({ key: id }, ({ tx }) => shop.order(tx, id, `the same ref as ${first}`))
    expect((await handle(first)).status).toBe('completed')
    expect(await handle(second)).toMatchObject({ status: 'failed', final: false, attempt: 1 })
    const other = dedupOf(shop.keys.ref)
    const again = await other.process({ key: second }, ({ tx }) =>
      shop.order(tx, second, `the same ref as ${first}`),
    )
    expect(again.status).toBe('duplicate')
  })

  test('a row that violates several keys is a duplicate if each is named, whichever is reported', async () => {
    const dedup = dedupOf([shop.keys.id, shop.keys.ref])
    const id = newId()
    const handle = () => dedup.process({ key: id }, ({ tx }) => shop.order(tx, id, `ref of ${id}`))
    expect([(await handle()).status, (await handle()).status]).toEqual(['completed', 'duplicate'])
  })

  test('an error that only looks like one is the failure of the handler', async () => {
    const dedup = dedupOf()
    const id = newId()
    let real: object | undefined
    await dedup.process({ key: id }, ({ tx }) => shop.order(tx, id, newRef()))
    await dedup.process({ key: id }, async ({ tx }) => {
      await shop.order(tx, id, newRef()).catch((error: object) => {
        real = error
        throw error
      })
    })
    expect(real).toBeInstanceOf(Error)
    const forged = Object.assign(new Error((real as Error).message), { ...real })
    // oxlint-disable-next-line typescript/only-throw-error
    const outcome = await dedup.process({ key: id }, () => Promise.reject(forged))
    expect(outcome).toMatchObject({ status: 'failed', error: forged })
  })

  test('of many deliveries at once, by two workers, one writes', async () => {
    const workers = [dedupOf(), dedupOf()]
    const id = newId()
    const before = await shop.orders()
    const handle = (dedup: Deduplicator<Tx>): Promise<ProcessOutcome> =>
      dedup.process({ key: id }, ({ tx }) => shop.order(tx, id, newRef()))
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => workers.map(handle)).flat())
    const statuses = outcomes.map(({ status }) => status).toSorted()
    expect(statuses).toEqual(['completed', ...Array.from({ length: 19 }, () => 'duplicate')])
    expect(await shop.orders()).toBe(before + 1)
  })

  test('a key that the database does not have is refused at start', async () => {
    for (const wrong of ['orders_pkay', 'orders.nothing', 'payments.ref']) {
      const opening = dedupOf(wrong).open()
      await expect(opening).rejects.toMatchObject({ code: 'ONCEMQ_TABLE_UNFIT', retryable: false })
    }
    await dedupOf(shop.keys.ref).open()
  })

  test('the starts of a message are those that the broker counts, and the last ones are rejected', async () => {
    const strategy = naturalKey({ constraint: shop.keys.id })
    const store = shop.store
    const dedup = createDeduplicator<Tx>({ store, consumerGroup: 'orders', strategy, attemptsMax: 3 })
    opened.push(dedup)
    const attempts: number[] = []
    const handle = (startsBefore: number) =>
      dedup.process({ key: 'poison', startsBefore }, ({ attempt }) => {
        attempts.push(attempt)
        throw new Error('no')
      })
    expect(await handle(0)).toMatchObject({ status: 'failed', final: false, attempt: 1 })
    expect(await handle(2)).toMatchObject({ status: 'failed', final: true, attempt: 3, reason: 'attempts' })
    expect(await handle(3)).toMatchObject({ status: 'failed', final: true, attempt: 4 })
    expect(await handle(7)).toMatchObject({ status: 'rejected', reason: 'attempts' })
    expect(attempts).toEqual([1, 3, 4])
  })
}

describe('sqlite', () => {
  guardedByItsKey(sqliteShop)
})
describeService('postgres-18', (server) => guardedByItsKey(() => postgresShop(server)))
describeService('mysql-8.0', (server) => guardedByItsKey(() => mysqlShop(server)))
describeService('mariadb-11.8', (server) => guardedByItsKey(() => mysqlShop(server)))
describeService('mongodb-6', (server) => guardedByItsKey(() => mongoShop(server)))
