import { DatabaseSync } from 'node:sqlite'
import type { TransactionalStore } from '@oncemq/core'
import { MongoStore } from '@oncemq/mongodb'
import { MysqlStore } from '@oncemq/mysql'
import { PostgresStore } from '@oncemq/postgres'
import { SqliteStore } from '@oncemq/sqlite'
import type { ClientSession } from 'mongodb'
import { MongoClient } from 'mongodb'
import mysql from 'mysql2/promise'
import type { PoolConnection, RowDataPacket } from 'mysql2/promise'
import pg from 'pg'

/** A store with batches of transactions, and the effects of handlers beside its records: one row each. */
export interface Batched<Tx> {
  readonly store: TransactionalStore<Tx>
  write(tx: Tx, key: string): Promise<unknown>
  /** Makes what the effects are in. */
  create(): Promise<unknown>
  /** The keys of all effects. */
  effects(): Promise<string[]>
  close(): Promise<void>
}

export type BatchedName = keyof typeof batchedStores

/** What a consumer is told. */
export interface BatchesAssignment {
  readonly store: BatchedName
  readonly storeUrl: string
  readonly url: string
  readonly queue: string
  readonly historyFile: string
}

/** What ends the process that handles it. */
export const POISON = 'poison'

const TABLE = 'CREATE TABLE effects (name VARCHAR(40) NOT NULL)'
const TIMEOUT_MS = 1000

/** Each at the URL of a server, or a path for SQLite, with tables of its own. */
export const batchedStores = {
  sqlite(path: string): Batched<DatabaseSync> {
    const database = new DatabaseSync(path, { timeout: TIMEOUT_MS })
    return {
      store: new SqliteStore({ path }),
      write: async (tx, key) => tx.prepare('INSERT INTO effects (name) VALUES (?)').run(key),
      create: async () => database.exec(TABLE),
      effects: async () =>
        database
          .prepare('SELECT name FROM effects')
          .all()
          .map(({ name }) => name as string),
      close: async () => database.close(),
    }
  },

  postgres(url: string): Batched<pg.PoolClient> {
    const pool = new pg.Pool({ connectionString: url, max: 12 })
    return {
      store: new PostgresStore<pg.PoolClient>({ pool, timeoutMs: TIMEOUT_MS }),
      write: (tx, key) => tx.query('INSERT INTO effects (name) VALUES ($1)', [key]),
      create: () => pool.query(TABLE),
      async effects() {
        const { rows } = await pool.query<{ name: string }>('SELECT name FROM effects')
        return rows.map(({ name }) => name)
      },
      close: () => pool.end(),
    }
  },

  mysql(url: string): Batched<PoolConnection> {
    const pool = mysql.createPool({ uri: url, connectionLimit: 12 })
    return {
      store: new MysqlStore<PoolConnection>({ pool, timeoutMs: TIMEOUT_MS }),
      write: (tx, key) => tx.query('INSERT INTO effects (name) VALUES (?)', [key]),
      create: () => pool.query(TABLE),
      async effects() {
        const [rows] = await pool.query<RowDataPacket[]>('SELECT name FROM effects')
        return rows.map((row) => row['name'] as string)
      },
      close: () => pool.end(),
    }
  },

  mongodb(url: string): Batched<ClientSession> {
    const client = new MongoClient(url)
    const database = client.db('batched')
    const effects = database.collection<{ name: string }>('effects')
    return {
      store: new MongoStore({ collection: database.collection('oncemq'), timeoutMs: TIMEOUT_MS }),
      write: (session, name) => effects.insertOne({ name }, { session }),
      create: () => database.createCollection('effects'),
      effects: async () => (await effects.find().toArray()).map(({ name }) => name),
      close: () => client.close(),
    }
  },
}
