import { PostgresStore } from '@oncemq/postgres'
import { service } from '@oncemq/test-services'
import pg from 'pg'
import { processesOf } from '../processor-time.ts'
import { POSTGRES } from '../stores/postgres.ts'
import type { HandWritten } from './hand-written.ts'
import { POOL } from './hand-written.ts'

const INSERT = 'INSERT INTO messages VALUES ($1) ON CONFLICT DO NOTHING'
const CHARGE = 'INSERT INTO charges VALUES ($1, 1999)'

/** As people write it with `pg`: statements with parameters, not prepared. */
export const postgres: HandWritten = {
  name: 'postgres',
  async open(throughNetwork) {
    const server = await service('postgres-18', { own: true, args: POSTGRES })
    const connectionString = await throughNetwork(server.url)
    const [pool, storePool] = [0, 1].map(() => new pg.Pool({ connectionString, max: POOL })) as [
      pg.Pool,
      pg.Pool,
    ]
    await pool.query('CREATE TABLE messages (key text PRIMARY KEY)')
    await pool.query('CREATE TABLE charges (key text NOT NULL, cents integer NOT NULL)')
    return {
      url: connectionString,
      store: new PostgresStore({ pool: storePool }),
      async lease(key) {
        const { rows } = await pool.query('SELECT 1 FROM messages WHERE key = $1', [key])
        if (rows.length === 0) await pool.query('INSERT INTO messages VALUES ($1)', [key])
      },
      transactional: {
        async byHand(key) {
          const client = await pool.connect()
          try {
            await client.query('BEGIN')
            const { rowCount } = await client.query(INSERT, [key])
            if (rowCount === 1) await client.query(CHARGE, [key])
            await client.query('COMMIT')
          } finally {
            client.release()
          }
        },
        effect: (tx: pg.PoolClient, key) => tx.query(CHARGE, [key]),
      },
      processes: processesOf(server),
      async close() {
        await Promise.all([pool.end(), storePool.end()])
        await server.close()
      },
    }
  },
}
