import type { Deduplicator, HandlerContext } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import knex from 'knex'
import mongoose from 'mongoose'
import { expect, onTestFinished, test } from 'vitest'
import type { Order } from './own-handlers.ts'
import { withDrizzle, withKnex, withMongoose } from './own-handlers.ts'
import { mongoShop, postgresShop } from './shop.ts'

interface Team<Tx> {
  readonly dedup: Deduplicator<Tx>
  readonly handle: (order: Order, context: HandlerContext<Tx>) => Promise<void>
}

/** One message three times, and another one whose other key is taken. */
async function expectOnce<Tx>(
  shop: { orders(): Promise<number> },
  { dedup, handle }: Team<Tx>,
): Promise<void> {
  onTestFinished(() => dedup.close())
  const deliver = async (order: Order) =>
    (await dedup.process({ key: undefined }, (context) => handle(order, context))).status
  const order = { id: 'order-1', ref: 'ref-1' }
  // At the same time, and then again.
  const statuses = await Promise.all([deliver(order), deliver(order)])
  statuses.push(await deliver({ ...order, ref: 'other' }))
  expect(statuses.toSorted()).toEqual(['completed', 'duplicate', 'duplicate'])
  expect(await deliver({ ...order, id: 'order-2' })).toBe('failed')
  expect(await shop.orders()).toBe(1)
}

describeService('postgres-18', (server) => {
  test('drizzle', async () => {
    const shop = await postgresShop(server)
    onTestFinished(() => shop.close())
    await expectOnce(shop, withDrizzle(shop.pool))
  })

  test('knex', async () => {
    const shop = await postgresShop(server)
    onTestFinished(() => shop.close())
    const own = knex({ client: 'pg', connection: shop.url })
    onTestFinished(() => own.destroy())
    await expectOnce(shop, withKnex(shop.pool, own))
  })
})

describeService('mongodb-6', (server) => {
  test('Mongoose', async () => {
    const shop = await mongoShop(server)
    onTestFinished(() => shop.close())
    const connection = await mongoose.createConnection(shop.url, { dbName: shop.name }).asPromise()
    onTestFinished(() => connection.close())
    await expectOnce(shop, withMongoose(connection))
  })
})
