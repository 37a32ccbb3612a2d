import { MysqlStore } from '@oncemq/mysql'
import { describeService } from '@oncemq/test-services/vitest'
import { newHex } from '@oncemq/test-stores'
import { ONCE, onceWith } from '@oncemq/test-stores/once'
import mysql from 'mysql2-3-9/promise'
import type { RowDataPacket } from 'mysql2-3-9/promise'
import { afterAll, describe, expect, test } from 'vitest'

describe.each(['mysql-8.0', 'mariadb-11.8'] as const)('on %s', (name) => {
  describeService(name, ({ url }) => {
    const pool = mysql.createPool({ uri: url, connectionLimit: 12 })
    afterAll(() => pool.end())

    test('the oldest mysql2 of its range does what the newest does', async () => {
      const table = `t${newHex()}`
      await pool.query(`CREATE TABLE ${table} (name VARCHAR(9))`)
      const seen = await onceWith(
        new MysqlStore({ pool, table: `o${newHex()}` }),
        (tx) => tx.execute(`INSERT INTO ${table} VALUES (?)`, ['a']),
        async () => {
          const [rows] = await pool.query<RowDataPacket[]>(`SELECT COUNT(*) AS count FROM ${table}`)
          return Number(rows[0]?.['count'])
        },
      )
      expect(seen).toEqual(ONCE)
    })
  })
})
