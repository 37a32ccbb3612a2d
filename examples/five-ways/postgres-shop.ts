import { PostgresStore } from '@oncemq/postgres'
import pg from 'pg'
import type { Charge } from './order.ts'
import { POSTGRES_URL } from './servers.ts'
import type { Shop, ShopOwner } from './shop.ts'
import { TABLES } from './shop.ts'

/** One schema for each way of each run, so that no way sees the tables of another. */
function poolOf(schema: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: POSTGRES_URL, options: `-c search_path=${schema}`, max: 6 })
  pool.on('error', () => undefined)
  return pool
}

export function openPostgresShop(schema: string): Shop<pg.PoolClient> {
  const pool = poolOf(schema)
  return {
    store: new PostgresStore({ pool, transactionsMax: 4 }),
    paymentKey: `${schema}.payments_pkey`,
    async charge(tx, { id, cents }) {
      await tx.query('INSERT INTO charges VALUES ($1, $2)', [id, cents])
    },
    async enterPayment(tx, { id, cents }) {
      await tx.query('INSERT INTO payments VALUES ($1, $2)', [id, cents])
    },
    close: () => pool.end(),
  }
}

export function ownPostgresShop(schema: string): ShopOwner {
  const pool = poolOf(schema)
  return {
    async prepare(orders) {
      await pool.query(`CREATE SCHEMA ${schema}`)
      for (const sql of TABLES) await pool.query(sql)
      for (const { id } of orders) await pool.query(`INSERT INTO orders VALUES ($1, 'pending')`, [id])
    },
    async charges() {
      const { rows } = await pool.query<Charge>('SELECT order_id AS order, cents FROM charges')
      return rows
    },
    async remove() {
      await pool.query(`DROP SCHEMA ${schema} CASCADE`)
      await pool.end()
    },
  }
}
