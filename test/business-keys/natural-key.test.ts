import { createDeduplicator, naturalKey } from '@oncemq/core'
import type { Deduplicator, ProcessOutcome } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { Shop } from './shop.ts'
import { mongoShop, mysqlShop, postgresShop, sqliteShop } from './shop.ts'

/** A shop of this suite, its deduplicators, and names that nobody else has. */
function fixtureOf<Tx>(open: () => Promise<Shop<Tx>>) {
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
  const shopOf = (): Shop<Tx> => shop
  return { shopOf, dedupOf, newId, newRef }
}

type Fixture<Tx> = ReturnType<typeof fixtureOf<Tx>>

/** Whatever the errors of the database look like. */
function findsDuplicates<Tx>(fixture: Fixture<Tx>): void {
  const { dedupOf, newId, newRef, shopOf } = fixture

  test('an insert that violates the key makes a duplicate, and what was written before is gone', async () => {
    const dedup = dedupOf()
    const id = newId()
    const notes = await shopOf().notes()
    const handle = () =>
      dedup.process({ key: id }, async ({ tx }) => {
        await shopOf().note(tx, id)
        await shopOf().order(tx, id, newRef())
      })
    expect(await handle()).toMatchObject({ status: 'completed', protected: true })
    expect(await handle()).toEqual({ status: 'duplicate', result: undefined })
    expect(await shopOf().notes()).toBe(notes + 1)
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
          await shopOf().order(tx, id, newRef())
        } catch (cause) {
          throw new Error('the order was not written', { cause })
        }
      })
    expect([(await handle()).status, (await handle()).status]).toEqual(['completed', 'duplicate'])
  })

  test('of many deliveries at once, by two workers, one writes', async () => {
    const workers = [dedupOf(), dedupOf()]
    const id = newId()
    const before = await shopOf().orders()
    const handle = (dedup: Deduplicator<Tx>): Promise<ProcessOutcome> =>
      dedup.process({ key: id }, ({ tx }) => shopOf().order(tx, id, newRef()))
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => workers.map(handle)).flat())
    const statuses = outcomes.map(({ status }) => status).toSorted()
    expect(statuses).toEqual(['completed', ...Array.from({ length: 19 }, () => 'duplicate')])
    expect(await shopOf().orders()).toBe(before + 1)
  })
}

/** Which key it is that counts. */
function tellsKeysApart<Tx>(fixture: Fixture<Tx>): void {
  const { dedupOf, newId, newRef, shopOf } = fixture

  test('another unique key is the failure of the handler', async () => {
    const dedup = dedupOf()
    const [first, second] = [newId(), newId()]
    const handle = (id: string) =>
      dedup.process({ key: id }, ({ tx }) => shopOf().order(tx, id, `the same ref as ${first}`))
    expect((await handle(first)).status).toBe('completed')
    expect(await handle(second)).toMatchObject({ status: 'failed', final: false, attempt: 1 })
    const other = dedupOf(shopOf().keys.ref)
    const again = await other.process({ key: second }, ({ tx }) =>
      shopOf().order(tx, second, `the same ref as ${first}`),
    )
    expect(again.status).toBe('duplicate')
  })

  test('a row that violates several keys is a duplicate if each is named, whichever is told', async () => {
    const dedup = dedupOf([shopOf().keys.id, shopOf().keys.ref])
    const id = newId()
    const handle = () => dedup.process({ key: id }, ({ tx }) => shopOf().order(tx, id, `ref of ${id}`))
    expect([(await handle()).status, (await handle()).status]).toEqual(['completed', 'duplicate'])
  })

  test('an error that only looks like one is the failure of the handler', async () => {
    const dedup = dedupOf()
    const id = newId()
    let real: object | undefined
    await dedup.process({ key: id }, ({ tx }) => shopOf().order(tx, id, newRef()))
    await dedup.process({ key: id }, async ({ tx }) => {
      await shopOf()
        .order(tx, id, newRef())
        .catch((error: object) => {
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
}

/** What is known at start, and how starts count. */
function startsOnce<Tx>(fixture: Fixture<Tx>): void {
  const { dedupOf, shopOf } = fixture

  test('a key that the database does not have is refused at start', async () => {
    for (const wrong of ['orders_pkay', 'orders.nothing', 'payments.ref']) {
      const opening = dedupOf(wrong).open()
      await expect(opening).rejects.toMatchObject({ code: 'ONCEMQ_TABLE_UNFIT', retryable: false })
    }
    await dedupOf(shopOf().keys.ref).open()
  })

  test('the starts of a message are those that the broker counts, and there is an end of them', async () => {
    const strategy = naturalKey({ constraint: shopOf().keys.id })
    const store = shopOf().store
    const dedup = createDeduplicator<Tx>({ store, consumerGroup: 'orders', strategy, attemptsMax: 3 })
    onTestFinished(() => dedup.close())
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

/** What holds on every database. */
function guardedByItsKey<Tx>(open: () => Promise<Shop<Tx>>): void {
  const fixture = fixtureOf(open)
  findsDuplicates(fixture)
  tellsKeysApart(fixture)
  startsOnce(fixture)
}

describe('sqlite', () => {
  guardedByItsKey(sqliteShop)
})
describeService('postgres-18', (server) => guardedByItsKey(() => postgresShop(server)))
describeService('mysql-8.0', (server) => guardedByItsKey(() => mysqlShop(server)))
describeService('mariadb-11.8', (server) => guardedByItsKey(() => mysqlShop(server)))
describeService('mongodb-6', (server) => guardedByItsKey(() => mongoShop(server)))
