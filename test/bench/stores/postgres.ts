import { PostgresStore } from '@oncemq/postgres'
import { service } from '@oncemq/test-services'
import pg from 'pg'
import { processesOf } from '../processor-time.ts'
import type { BenchStore } from './bench-store.ts'

const CONNECTIONS = 12

// The tests' servers do with less memory.
export const POSTGRES = ['-c', 'shared_buffers=1GB']

/** Both on one pool: an answer follows only what is on its disk. */
export const postgres: BenchStore = {
  name: 'postgres',
  async open() {
    const server = await service('postgres-18', { own: true, args: POSTGRES })
    const pool = new pg.Pool({ connectionString: server.url, max: CONNECTIONS })
    await pool.query('CREATE TABLE messages (key text PRIMARY KEY, done boolean NOT NULL)')
    return {
      store: new PostgresStore({ pool }),
      naive: {
        async handle(key) {
          await pool.query('INSERT INTO messages VALUES ($1, false) ON CONFLICT DO NOTHING', [key])
          await pool.query('UPDATE messages SET done = true WHERE key = $1', [key])
        },
      },
      processes: processesOf(server),
      async close() {
        await pool.end()
        await server.close()
      },
    }
  },
}
