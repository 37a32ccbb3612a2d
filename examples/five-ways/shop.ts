import type { KeyedStore, StateStore } from '@oncemq/core/store'
import type { Charge, Order } from './order.ts'

/** The shop's database, in which the store may keep its records. */
export interface Shop<Tx> {
  readonly store: KeyedStore<Tx> & StateStore<Tx>
  /** How this database names the unique key of the payments. */
  readonly paymentKey: string
  /** The effect. It has no protection of its own: called twice, it takes the money twice. */
  readonly charge: (tx: Tx, order: Order) => Promise<void>
  /** Enters the order's payment, whose key is the order's. */
  readonly enterPayment: (tx: Tx, order: Order) => Promise<void>
  close(): Promise<void>
}

/** What stands around the workers: it makes the tables, and looks at what is in them in the end. */
export interface ShopOwner {
  /** Makes the tables. All orders are there, and wait for their payment. */
  prepare(orders: readonly Order[]): Promise<void>
  charges(): Promise<readonly Charge[]>
  remove(): Promise<void>
}

/** The tables, in words that every relational database understands. */
export const TABLES = [
  'CREATE TABLE orders (id VARCHAR(60) PRIMARY KEY, state VARCHAR(20) NOT NULL)',
  'CREATE TABLE payments (order_id VARCHAR(60) PRIMARY KEY, cents INTEGER NOT NULL)',
  'CREATE TABLE charges (order_id VARCHAR(60) NOT NULL, cents INTEGER NOT NULL)',
]
