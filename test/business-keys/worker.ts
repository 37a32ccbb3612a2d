// A worker of the kill test: handles messages from its parent until it is killed.
import type { DatabaseSync } from 'node:sqlite'
import type { Deduplicator } from '@oncemq/core'
import { createDeduplicator, naturalKey, stateMachine } from '@oncemq/core'
import type { KeyedStore, StateStore } from '@oncemq/core/store'
import type { ClientSession } from 'mongodb'
import type { PoolConnection } from 'mysql2/promise'
import type { PoolClient } from 'pg'

export interface Job {
  readonly position: number
  readonly id: string
  /** `order` for an insert that its key guards. */
  readonly transition: 'order' | 'pay' | 'ship'
}

interface Database<Tx> {
  readonly store: KeyedStore<Tx> & StateStore<Tx>
  /** How it names the keys of the orders, of which a second insert violates both. */
  readonly keys: readonly string[]
  effect(tx: Tx, text: string): unknown
  order(tx: Tx, id: string): unknown
}

/** Each starts with its own driver alone. */
const databases = {
  async sqlite(path: string): Promise<Database<DatabaseSync>> {
    const { SqliteStore } = await import('@oncemq/sqlite')
    return {
      store: new SqliteStore({ path, busyTimeoutMs: 10_000 }),
      keys: ['orders.id', 'orders.ref'],
      effect: (tx, text) => tx.prepare('INSERT INTO effects VALUES (?)').run(text),
      order: (tx, id) => tx.prepare('INSERT INTO orders VALUES (?, ?)').run(id, id),
    }
  },
  async postgres(connectionString: string): Promise<Database<PoolClient>> {
    const [{ PostgresStore }, { default: pg }] = await Promise.all([import('@oncemq/postgres'), import('pg')])
    const pool = new pg.Pool({ connectionString, max: 6 })
    pool.on('error', () => undefined)
    return {
      store: new PostgresStore({ pool, transactionsMax: 4 }),
      keys: ['orders_pkey', 'orders_ref'],
      effect: (tx, text) => tx.query('INSERT INTO effects VALUES ($1)', [text]),
      order: (tx, id) => tx.query('INSERT INTO orders VALUES ($1, $1)', [id]),
    }
  },
  async mysql(uri: string): Promise<Database<PoolConnection>> {
    const [{ MysqlStore }, mysql] = await Promise.all([import('@oncemq/mysql'), import('mysql2/promise')])
    const pool = mysql.createPool({ uri, connectionLimit: 6 })
    return {
      store: new MysqlStore<PoolConnection>({ pool, transactionsMax: 4 }),
      keys: ['orders.PRIMARY', 'orders.orders_ref'],
      effect: (tx, text) => tx.query('INSERT INTO effects VALUES (?)', [text]),
      order: (tx, id) => tx.query('INSERT INTO orders VALUES (?, ?)', [id, id]),
    }
  },
  async mongodb(url: string): Promise<Database<ClientSession>> {
    const [{ MongoStore }, { MongoClient }] = await Promise.all([
      import('@oncemq/mongodb'),
      import('mongodb'),
    ])
    const database = new MongoClient(url).db()
    const orders = database.collection<{ _id: string; ref: string }>('orders')
    return {
      store: new MongoStore<ClientSession>({ collection: database.collection('oncemq') }),
      keys: ['orders._id_', 'orders.orders_ref'],
      effect: (session, text) => database.collection('effects').insertOne({ text }, { session }),
      order: (session, id) => orders.insertOne({ _id: id, ref: id }, { session }),
    }
  },
}

export type Kind = keyof typeof databases

async function work<Tx>(database: Database<Tx>): Promise<void> {
  const { store, keys } = database
  const strategies = {
    orders: naturalKey({ constraint: keys }),
    parcels: stateMachine({
      table: 'parcels',
      id: 'id',
      state: 'state',
      initial: 'pending',
      final: ['done'],
      transitions: { pay: { from: 'pending', to: 'paid' }, ship: { from: 'paid', to: 'done' } },
      read: ({ id, transition }: Job) => ({ id, transition }),
    }),
  }
  const dedupOf = (consumerGroup: keyof typeof strategies): Deduplicator<Tx> =>
    createDeduplicator({ store, consumerGroup, strategy: strategies[consumerGroup] })
  const [orders, parcels] = [dedupOf('orders'), dedupOf('parcels')]
  await Promise.all([orders.open(), parcels.open()])

  process.on('message', (job: Job) => {
    const { id, position, transition } = job
    const isOrder = transition === 'order'
    const outcome = (isOrder ? orders : parcels).process({ key: undefined, message: job }, async ({ tx }) => {
      await database.effect(tx, `${id} ${transition}`)
      if (isOrder) await database.order(tx, id)
    })
    void outcome.then(({ status }) => process.send?.({ position, status }))
  })
  process.send?.({ ready: true })
}

process.on('disconnect', () => process.exit())
const [kind, location] = process.argv.slice(2) as [Kind, string]
// Each has a type of its own for its transactions.
await work((await databases[kind](location)) as Database<unknown>)
