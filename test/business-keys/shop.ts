import { DatabaseSync } from 'node:sqlite'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KeyedStore } from '@oncemq/core/store'
import { MongoStore } from '@oncemq/mongodb'
import { MysqlStore } from '@oncemq/mysql'
import { PostgresStore } from '@oncemq/postgres'
import { SqliteStore } from '@oncemq/sqlite'
import type { Server } from '@oncemq/test-services'
import { createDatabase } from '@oncemq/test-services/database'
import type { ClientSession } from 'mongodb'
import { MongoClient } from 'mongodb'
import mysql from 'mysql2/promise'
import type { PoolConnection, RowDataPacket } from 'mysql2/promise'
import pg from 'pg'

/** A database with the tables `orders` (unique by `id`, and by `ref`) and `notes` (no key). */
export interface Shop<Tx> {
  readonly store: KeyedStore<Tx>
  /** How this database names the unique keys of the orders. */
  readonly keys: { readonly id: string; readonly ref: string }
  note(tx: Tx, text: string): Promise<void>
  order(tx: Tx, id: string, ref: string): Promise<void>
  orders(): Promise<number>
  notes(): Promise<number>
  close(): Promise<void>
}

const TABLES = [
  'CREATE TABLE orders (id VARCHAR(60) NOT NULL PRIMARY KEY, ref VARCHAR(60) NOT NULL)',
  'CREATE UNIQUE INDEX orders_ref ON orders (ref)',
  'CREATE TABLE notes (text VARCHAR(60) NOT NULL)',
  // Another table whose keys have the same names where a database allows that.
  'CREATE TABLE payments (id VARCHAR(60) NOT NULL PRIMARY KEY)',
]

export async function sqliteShop() {
  const folder = mkdtempSync(join(tmpdir(), 'oncemq-shop-'))
  const path = join(folder, 'shop.db')
  const database = new DatabaseSync(path, { timeout: 5000 })
  for (const sql of TABLES) database.exec(sql)
  const count = (table: string) => Number(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.['n'])
  return {
    path,
    store: new SqliteStore({ path }),
    keys: { id: 'orders.id', ref: 'orders.ref' },
    note: async (tx: DatabaseSync, text: string) => void tx.prepare('INSERT INTO notes VALUES (?)').run(text),
    order: async (tx: DatabaseSync, id: string, ref: string) =>
      void tx.prepare('INSERT INTO orders VALUES (?, ?)').run(id, ref),
    orders: async () => count('orders'),
    notes: async () => count('notes'),
    async close() {
      database.close()
      rmSync(folder, { recursive: true })
    },
  } satisfies Shop<DatabaseSync> & { path: string }
}

export async function postgresShop({ url }: Pick<Server, 'url'>) {
  const database = await createDatabase(url)
  const pool = new pg.Pool({ connectionString: database.url, max: 14 })
  for (const sql of TABLES) await pool.query(sql)
  const count = async (table: string) =>
    Number((await pool.query<{ n: string }>(`SELECT count(*) AS n FROM ${table}`)).rows[0]?.n)
  return {
    pool,
    url: database.url,
    store: new PostgresStore({ pool, transactionsMax: 8 }),
    keys: { id: 'orders_pkey', ref: 'orders_ref' },
    note: async (tx: pg.PoolClient, text: string) =>
      void (await tx.query('INSERT INTO notes VALUES ($1)', [text])),
    order: async (tx: pg.PoolClient, id: string, ref: string) =>
      void (await tx.query('INSERT INTO orders VALUES ($1, $2)', [id, ref])),
    orders: () => count('orders'),
    notes: () => count('notes'),
    async close() {
      await pool.end()
      await database.drop()
    },
  } satisfies Shop<pg.PoolClient> & { pool: pg.Pool; url: string }
}

export async function mysqlShop({ url }: Pick<Server, 'url'>) {
  const database = await createDatabase(url)
  const pool = mysql.createPool({ uri: database.url, connectionLimit: 14 })
  for (const sql of TABLES) await pool.query(sql)
  const count = async (table: string) => {
    const [rows] = await pool.query<RowDataPacket[]>(`SELECT COUNT(*) AS n FROM ${table}`)
    return Number(rows[0]?.['n'])
  }
  return {
    pool,
    url: database.url,
    store: new MysqlStore<PoolConnection>({ pool, transactionsMax: 8 }),
    keys: { id: 'orders.PRIMARY', ref: 'orders.orders_ref' },
    note: async (tx: PoolConnection, text: string) =>
      void (await tx.query('INSERT INTO notes VALUES (?)', [text])),
    order: async (tx: PoolConnection, id: string, ref: string) =>
      void (await tx.query('INSERT INTO orders VALUES (?, ?)', [id, ref])),
    orders: () => count('orders'),
    notes: () => count('notes'),
    async close() {
      await pool.end()
      await database.drop()
    },
  } satisfies Shop<PoolConnection> & { pool: mysql.Pool; url: string }
}

export async function mongoShop({ url }: Pick<Server, 'url'>) {
  const client = new MongoClient(url)
  const { name, drop } = await createDatabase(url)
  const database = client.db(name)
  const orders = await database.createCollection<{ _id: string; ref: string }>('orders')
  await orders.createIndex({ ref: 1 }, { unique: true, name: 'orders_ref' })
  const notes = await database.createCollection<{ text: string }>('notes')
  return {
    client,
    database,
    url,
    name,
    store: new MongoStore<ClientSession>({ collection: database.collection('oncemq') }),
    keys: { id: 'orders._id_', ref: 'orders.orders_ref' },
    note: async (session: ClientSession, text: string) => void (await notes.insertOne({ text }, { session })),
    order: async (session: ClientSession, id: string, ref: string) =>
      void (await orders.insertOne({ _id: id, ref }, { session })),
    orders: () => orders.countDocuments(),
    notes: () => notes.countDocuments(),
    async close() {
      await client.close()
      await drop()
    },
  } satisfies Shop<ClientSession> & { client: MongoClient; database: unknown; url: string; name: string }
}
