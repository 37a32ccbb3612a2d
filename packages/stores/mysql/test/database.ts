import type { StoreEffects, StoreSuiteOptions } from '@oncemq/conformance'
import type { Server } from '@oncemq/test-services'
import mysql from 'mysql2/promise'
import type { Pool, PoolConnection, RowDataPacket } from 'mysql2/promise'

/** A pool that ends with the suite, and the handler's own writes: rows of a table beside the records. */
export function databaseOf({ url }: Pick<Server, 'url'>, { multipleStatements = false } = {}) {
  const pool = mysql.createPool({ uri: url, connectionLimit: 40, multipleStatements })
  const lock: StoreSuiteOptions['lock'] = async (namespace, ids, kind) => {
    const columns = 'id, state, claim_id, epoch, attempts, lease_until, expires_at'
    const statementOf = {
      change: (id: string) => `UPDATE ${namespace} SET result = 'x' WHERE id = X'${id}'`,
      remove: (id: string) => `DELETE FROM ${namespace} WHERE id = X'${id}'`,
      insert: (id: string) =>
        `INSERT INTO ${namespace} (${columns}) VALUES (X'${id}', 1, X'${id}', 1, 1, 0, 0)`,
    }[kind]
    // Not of the pool, where many would leave none for the store.
    const connection = await mysql.createConnection(url)
    await connection.beginTransaction()
    // One by one, which locks no gap between them.
    for (const id of ids) await connection.query(statementOf(id))
    return async () => {
      await connection.rollback()
      await connection.end()
    }
  }
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
  return { pool, effects, lock, end: () => pool.end() }
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
