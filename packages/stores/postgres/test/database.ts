import type { StoreEffects, StoreSuiteOptions } from '@oncemq/conformance'
import type { Server } from '@oncemq/test-services'
import pg from 'pg'

/** Pools that end with the suite, and the handler's own writes: rows of a table beside the records. */
export function databaseOf({ url }: Pick<Server, 'url'>) {
  const pool = new pg.Pool({ connectionString: url, max: 40 })
  const lock: StoreSuiteOptions['lock'] = async (namespace, ids, kind) => {
    const list = ids.map((id) => `'${id}'`).join()
    const insert = `INSERT INTO ${namespace} (id, state, attempts, epoch, claim_id, lease_until, expires_at)
      SELECT id, 1, 1, 1, gen_random_uuid(), now(), now() FROM unnest(ARRAY[${list}]::uuid[]) id`
    const statements = {
      change: `UPDATE ${namespace} SET result = NULL WHERE id IN (${list})`,
      remove: `DELETE FROM ${namespace} WHERE id IN (${list})`,
      insert,
    }
    // Not of the pool, where many would leave none for the store.
    const client = new pg.Client(url)
    await client.connect()
    await client.query(`BEGIN; ${statements[kind]}`)
    return async () => {
      await client.query('ROLLBACK')
      await client.end()
    }
  }
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
  return { pool, effects, lock, end: () => pool.end() }
}
