import type { StoreEffects } from '@oncemq/conformance'
import type { Server } from '@oncemq/test-services'
import mysql from 'mysql2/promise'
import type { Pool, PoolConnection, RowDataPacket } from 'mysql2/promise'

/** A pool that ends with the suite, and the handler's own writes: rows of a table beside the records. */
export function databaseOf({ url }: Pick<Server, 'url'>) {
  const pool = mysql.createPool({ uri: url, connectionLimit: 40 })
  const effects: StoreEffects<PoolConnection> = {
    async prepare(namespace) {
      await pool.query(`CREATE TABLE ${namespace}_effects (name VARCHAR(255) NOT NULL)`)
    },
    async write(tx, namespace, name) {
      await tx.query(`INSERT INTO ${namespace}_effects (name) VALUES (?)`, [name])
    },
    async commit(tx) {
      await tx.query('COMMIT')
    },
    async count(namespace, name) {
      const [rows] = await pool.query<RowDataPacket[]>(
        `SELECT COUNT(*) AS count FROM ${namespace}_effects WHERE name = ?`,
        [name],
      )
      return Number(rows[0]?.['count'])
    },
  }
  return { pool, effects, end: () => pool.end() }
}

/** The pool, with something done before each statement. */
export function poolBefore(pool: Pool, act: (sql: string) => unknown) {
  return {
    async getConnection(): Promise<PoolConnection> {
      const connection = await pool.getConnection()
      const query = connection.query.bind(connection) as (...given: unknown[]) => Promise<unknown>
      return Object.assign(connection, {
        async query(...given: [string | { sql: string }, ...unknown[]]) {
          const [statement] = given
          await act(typeof statement === 'string' ? statement : statement.sql)
          return query(...given)
        },
      }) as PoolConnection
    },
  }
}
