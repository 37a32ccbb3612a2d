import { MysqlStore } from '@oncemq/mysql'
import { service } from '@oncemq/test-services'
import type { PoolConnection } from 'mysql2/promise'
import mysql from 'mysql2/promise'
import { processesOf } from '../processor-time.ts'
import { MARIADB, MYSQL } from '../stores/mysql.ts'
import type { HandWritten } from './hand-written.ts'
import { POOL } from './hand-written.ts'

const INSERT = 'INSERT IGNORE INTO messages VALUES (?)'
const CHARGE = 'INSERT INTO charges VALUES (?, 1999)'

/** As people write it with `mysql2`: `query`, with values that the driver writes into the statement. */
function handWritten(name: string, kind: 'mysql-8.0' | 'mariadb-11.8', args: readonly string[]): HandWritten {
  return {
    name,
    async open(throughNetwork) {
      const server = await service(kind, { own: true, args: [...args] })
      const uri = await throughNetwork(server.url)
      const [pool, storePool] = [0, 1].map(() => mysql.createPool({ uri, connectionLimit: POOL })) as [
        mysql.Pool,
        mysql.Pool,
      ]
      await pool.query('CREATE TABLE messages (id VARCHAR(190) PRIMARY KEY)')
      await pool.query('CREATE TABLE charges (id VARCHAR(190) NOT NULL, cents INT NOT NULL)')
      return {
        url: uri,
        store: new MysqlStore({ pool: storePool }),
        async lease(key) {
          const [rows] = await pool.query('SELECT 1 FROM messages WHERE id = ?', [key])
          if ((rows as unknown[]).length === 0) await pool.query('INSERT INTO messages VALUES (?)', [key])
        },
        transactional: {
          async byHand(key) {
            const connection = await pool.getConnection()
            try {
              await connection.beginTransaction()
              const [header] = await connection.query(INSERT, [key])
              if ((header as { affectedRows: number }).affectedRows === 1)
                await connection.query(CHARGE, [key])
              await connection.commit()
            } finally {
              connection.release()
            }
          },
          effect: (tx: PoolConnection, key) => tx.query(CHARGE, [key]),
        },
        processes: processesOf(server),
        async close() {
          await Promise.all([pool.end(), storePool.end()])
          await server.close()
        },
      }
    },
  }
}

export const mysql8 = handWritten('mysql', 'mysql-8.0', MYSQL)
export const mariadb = handWritten('mariadb', 'mariadb-11.8', MARIADB)
