// Handlers that a team had before, with the library that it had, made idempotent by naming the constraint.
import type { HandlerContext } from '@oncemq/core'
import { createDeduplicator, naturalKey } from '@oncemq/core'
import { MongoStore } from '@oncemq/mongodb'
import { PostgresStore } from '@oncemq/postgres'
import { drizzle } from 'drizzle-orm/node-postgres'
import { pgTable, varchar } from 'drizzle-orm/pg-core'
import type { Knex } from 'knex'
import mongoose from 'mongoose'
import type pg from 'pg'

export interface Order {
  readonly id: string
  readonly ref: string
}

export function withDrizzle(pool: pg.Pool) {
  // #region drizzle
  const orders = pgTable('orders', { id: varchar().primaryKey(), ref: varchar() })
  const dedup = createDeduplicator({
    store: new PostgresStore({ pool }),
    consumerGroup: 'orders',
    strategy: naturalKey({ constraint: 'orders_pkey' }),
  })
  const handle = async (order: Order, { tx }: HandlerContext<pg.PoolClient>) => {
    await drizzle(tx).insert(orders).values(order)
  }
  // #endregion
  return { dedup, handle }
}

export function withKnex(pool: pg.Pool, knex: Knex) {
  // #region knex
  const dedup = createDeduplicator({
    store: new PostgresStore({ pool }),
    consumerGroup: 'orders',
    strategy: naturalKey({ constraint: 'orders_pkey' }),
  })
  const handle = async (order: Order, { tx }: HandlerContext<pg.PoolClient>) => {
    await knex('orders').insert(order).connection(tx)
  }
  // #endregion
  return { dedup, handle }
}

export function withMongoose(connection: mongoose.Connection) {
  // #region mongoose
  const schema = new mongoose.Schema({ _id: String, ref: String })
  const orders = connection.model('Order', schema, 'orders')
  // The driver's own collection, of the connection that the models use.
  const collection = connection.getClient().db(connection.name).collection('oncemq')
  const dedup = createDeduplicator({
    store: new MongoStore({ collection }),
    consumerGroup: 'orders',
    strategy: naturalKey({ constraint: 'orders._id_' }),
  })
  const handle = async ({ id, ref }: Order, { tx }: HandlerContext<mongoose.ClientSession>) => {
    await orders.create([{ _id: id, ref }], { session: tx })
  }
  // #endregion
  return { dedup, handle }
}
