import { MysqlStore } from '@oncemq/mysql'
import { service } from '@oncemq/test-services'
import mysql from 'mysql2/promise'
import { processesOf } from '../processor-time.ts'
import type { BenchStore } from './bench-store.ts'

const CONNECTIONS = 12
// The tests' servers do with less, and without the binary log that MySQL has by default.
const MEMORY = '--innodb-buffer-pool-size=1G'

/** Both on one pool: an answer follows only what is on the server's disk. */
function bench(name: string, server: 'mysql-8.0' | 'mariadb-11.8', args: readonly string[]): BenchStore {
  return {
    name,
    async open() {
      const running = await service(server, { own: true, args: [...args] })
      const pool = mysql.createPool({ uri: running.url, connectionLimit: CONNECTIONS })
      await pool.query('CREATE TABLE messages (id VARCHAR(190) PRIMARY KEY, done BOOLEAN NOT NULL)')
      return {
        store: new MysqlStore({ pool }),
        naive: {
          async handle(key) {
            await pool.query('INSERT INTO messages VALUES (?, FALSE) ON DUPLICATE KEY UPDATE done = done', [
              key,
            ])
            await pool.query('UPDATE messages SET done = TRUE WHERE id = ?', [key])
          },
        },
        processes: processesOf(running),
        async close() {
          await pool.end()
          await running.close()
        },
      }
    },
  }
}

export const MYSQL = [MEMORY, '--log-bin=bin', '--server-id=1']
export const MARIADB = [MEMORY]

export const mysql8 = bench('mysql', 'mysql-8.0', MYSQL)
export const mariadb = bench('mariadb', 'mariadb-11.8', MARIADB)
