import type { StoreEffects } from '@oncemq/conformance'
import type { Server } from '@oncemq/test-services'
import pg from 'pg'

/** Pools that end with the suite, and the handler's own writes: rows of a table beside the records. */
export function databaseOf({ url }: Pick<Server, 'url'>) {
  const pool = new pg.Pool({ connectionString: url, max: 40 })
  const effects: StoreEffects<pg.PoolClient> = {
    async prepare(namespace) {
      await pool.query(`CREATE TABLE ${namespace}_effects (name text NOT NULL)`)
    },
    async write(tx, namespace, name) {
      await tx.query(`INSERT INTO ${namespace}_effects (name) VALUES ($1)`, [name])
    },
    async commit(tx) {
      await tx.query('COMMIT')
    },
    async count(namespace, name) {
      const { rows } = await pool.query<{ count: string }>(
        `SELECT count(*) FROM ${namespace}_effects WHERE name = $1`,
        [name],
      )
      return Number(rows[0]?.count)
    },
  }
  return { pool, effects, end: () => pool.end() }
}
