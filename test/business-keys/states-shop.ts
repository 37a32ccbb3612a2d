import { DatabaseSync } from 'node:sqlite'
import type { StateStore } from '@oncemq/core/store'
import type { Server } from '@oncemq/test-services'
import type { ClientSession } from 'mongodb'
import type { PoolConnection, RowDataPacket } from 'mysql2/promise'
import type pg from 'pg'
import { mongoShop, mysqlShop, postgresShop, sqliteShop } from './shop.ts'

/** A database whose rows have states, and a table for what the handlers write. */
export interface StatesShop<Tx> {
  /** Where another process finds it. */
  readonly location: string
  readonly store: StateStore<Tx>
  readonly hasColumns: boolean
  readonly hasEnums: boolean
  create(id: string, state: string): Promise<unknown>
  createNumbered(id: number, state: string): Promise<unknown>
  stateOf(id: string): Promise<string | undefined>
  numberedState(id: number): Promise<string | undefined>
  effect(tx: Tx, text: string): Promise<unknown>
  effects(text: string): Promise<number>
  close(): Promise<void>
}

/** The machine of most tests, on the table of parcels. */
export const PARCELS = {
  table: 'parcels',
  id: 'id',
  state: 'state',
  initial: 'pending',
  final: ['done', 'cancelled'],
  transitions: {
    pay: { from: 'pending', to: 'paid' },
    ship: { from: 'paid', to: 'done' },
    cancel: { from: ['pending', 'paid'], to: 'cancelled' },
  },
} as const

const TABLES = [
  'CREATE TABLE parcels (id VARCHAR(60) PRIMARY KEY, state VARCHAR(20) NOT NULL)',
  'CREATE TABLE numbered (id BIGINT PRIMARY KEY, state VARCHAR(20) NOT NULL)',
  'CREATE TABLE unindexed (id VARCHAR(60), state VARCHAR(20) NOT NULL)',
  'CREATE TABLE effects (text VARCHAR(60) NOT NULL)',
]

export async function sqliteStates(): Promise<StatesShop<DatabaseSync>> {
  const shop = await sqliteShop()
  const database = new DatabaseSync(shop.path, { timeout: 5000 })
  for (const sql of TABLES) database.exec(sql)
  const stateIn = async (table: string, id: string | number) =>
    database.prepare(`SELECT state FROM ${table} WHERE id = ?`).get(id)?.['state'] as string | undefined
  const insertInto = async (table: string, id: string | number, state: string) =>
    database.prepare(`INSERT INTO ${table} VALUES (?, ?)`).run(id, state)
  return {
    location: shop.path,
    store: shop.store,
    hasColumns: true,
    hasEnums: false,
    create: (id, state) => insertInto('parcels', id, state),
    createNumbered: (id, state) => insertInto('numbered', id, state),
    stateOf: (id) => stateIn('parcels', id),
    numberedState: (id) => stateIn('numbered', id),
    effect: async (tx, text) => tx.prepare('INSERT INTO effects VALUES (?)').run(text),
    effects: async (text) =>
      Number(database.prepare('SELECT count(*) AS n FROM effects WHERE text = ?').get(text)?.['n']),
    async close() {
      database.close()
      await shop.close()
    },
  }
}

export async function postgresStates(server: Pick<Server, 'url'>): Promise<StatesShop<pg.PoolClient>> {
  const shop = await postgresShop(server)
  const { pool, store } = shop
  const enums = [
    "CREATE TYPE kind AS ENUM ('pending', 'paid')",
    'CREATE TABLE enumerated (id TEXT, state kind)',
  ]
  for (const sql of [...TABLES, ...enums]) await pool.query(sql)
  const stateIn = async (table: string, id: string | number) =>
    (await pool.query<{ state: string }>(`SELECT state FROM ${table} WHERE id = $1`, [id])).rows[0]?.state
  return {
    location: shop.url,
    store,
    hasColumns: true,
    hasEnums: true,
    create: (id, state) => pool.query('INSERT INTO parcels VALUES ($1, $2)', [id, state]),
    createNumbered: (id, state) => pool.query('INSERT INTO numbered VALUES ($1, $2)', [id, state]),
    stateOf: (id) => stateIn('parcels', id),
    numberedState: (id) => stateIn('numbered', id),
    effect: (tx, text) => tx.query('INSERT INTO effects VALUES ($1)', [text]),
    async effects(text) {
      const { rows } = await pool.query<{ n: string }>('SELECT count(*) AS n FROM effects WHERE text = $1', [
        text,
      ])
      return Number(rows[0]?.n)
    },
    close: () => shop.close(),
  }
}

export async function mysqlStates(server: Pick<Server, 'url'>): Promise<StatesShop<PoolConnection>> {
  const shop = await mysqlShop(server)
  const { pool, store } = shop
  const enums = ["CREATE TABLE enumerated (id VARCHAR(60), state ENUM('pending', 'paid'))"]
  for (const sql of [...TABLES, ...enums]) await pool.query(sql)
  const stateIn = async (table: string, id: string | number) => {
    const [rows] = await pool.query<RowDataPacket[]>(`SELECT state FROM ${table} WHERE id = ?`, [id])
    return rows[0]?.['state'] as string | undefined
  }
  return {
    location: shop.url,
    store,
    hasColumns: true,
    hasEnums: true,
    create: (id, state) => pool.query('INSERT INTO parcels VALUES (?, ?)', [id, state]),
    createNumbered: (id, state) => pool.query('INSERT INTO numbered VALUES (?, ?)', [id, state]),
    stateOf: (id) => stateIn('parcels', id),
    numberedState: (id) => stateIn('numbered', id),
    effect: (tx, text) => tx.query('INSERT INTO effects VALUES (?)', [text]),
    async effects(text) {
      const [rows] = await pool.query<RowDataPacket[]>('SELECT COUNT(*) AS n FROM effects WHERE text = ?', [
        text,
      ])
      return Number(rows[0]?.['n'])
    },
    close: () => shop.close(),
  }
}

interface Parcel {
  readonly id: string | number
  readonly state: string
}

export async function mongoStates(server: Pick<Server, 'url'>): Promise<StatesShop<ClientSession>> {
  const shop = await mongoShop(server)
  const { client, name, store } = shop
  const database = client.db(name)
  for (const table of ['parcels', 'numbered', 'unindexed', 'effects']) await database.createCollection(table)
  const parcels = database.collection<Parcel>('parcels')
  const numbered = database.collection<Parcel>('numbered')
  const effects = database.collection<{ text: string }>('effects')
  for (const each of [parcels, numbered]) await each.createIndex({ id: 1 }, { unique: true })
  const location = new URL(shop.url)
  location.pathname = name
  return {
    location: location.href,
    store,
    hasColumns: false,
    hasEnums: false,
    create: (id, state) => parcels.insertOne({ id, state }),
    createNumbered: (id, state) => numbered.insertOne({ id, state }),
    stateOf: async (id) => (await parcels.findOne({ id }))?.state,
    numberedState: async (id) => (await numbered.findOne({ id }))?.state,
    effect: (session, text) => effects.insertOne({ text }, { session }),
    effects: (text) => effects.countDocuments({ text }),
    close: () => shop.close(),
  }
}
