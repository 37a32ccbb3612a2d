// The README shows parts of this file.
// #region imports
import { createDeduplicator } from '@oncemq/core'
import { MysqlStore } from '@oncemq/mysql'
import mysql from 'mysql2/promise'
// #endregion
import { describeService } from '@oncemq/test-services/vitest'
import { expect, test } from 'vitest'

describeService('mysql-8.0', { own: true }, (server) => {
  process.env['DATABASE_URL'] = server.url

  test('the key runs once', async () => {
    const charged: string[] = []
    const charge = async (event: string) => void charged.push(event)
    // #region lease
    const pool = mysql.createPool({ uri: process.env['DATABASE_URL'] ?? '', connectionLimit: 12 })
    const store = new MysqlStore({ pool })
    const dedup = createDeduplicator({ store, consumerGroup: 'billing' })

    // However often it is called, and wherever: charges once.
    await dedup.run('stripe:evt_1', () => charge('evt_1'))
    await dedup.close()
    await pool.end()
    // #endregion
    expect(charged).toEqual(['evt_1'])
  })

  test('money moves once', async () => {
    const pool = mysql.createPool({ uri: server.url, connectionLimit: 12 })
    await pool.query('CREATE TABLE accounts (id VARCHAR(32) PRIMARY KEY, cents INT NOT NULL)')
    await pool.query(`INSERT INTO accounts VALUES ('alice', 1000), ('bob', 0)`)
    // #region transactional
    const store = new MysqlStore({ pool })
    const ledger = createDeduplicator({ store, consumerGroup: 'ledger', strategy: 'transactional' })

    await ledger.run('transfer-1', async ({ tx }) => {
      await tx.query('UPDATE accounts SET cents = cents - ? WHERE id = ?', [500, 'alice'])
      await tx.query('UPDATE accounts SET cents = cents + ? WHERE id = ?', [500, 'bob'])
    })
    // #endregion
    await ledger.run('transfer-1', async ({ tx }) => {
      await tx.query('UPDATE accounts SET cents = 0')
    })
    const [rows] = await pool.query('SELECT cents FROM accounts ORDER BY id')
    expect(rows).toEqual([{ cents: 500 }, { cents: 500 }])
    await ledger.close()
    await pool.end()
  })
})
