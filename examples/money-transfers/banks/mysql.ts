import { MysqlStore } from '@oncemq/mysql'
import mysql from 'mysql2/promise'
import type { PoolConnection, RowDataPacket } from 'mysql2/promise'
import type { Bank } from './bank.ts'

const { ONCEMQ_MYSQL_URL = 'mysql://root@127.0.0.1/test' } = process.env

export function mysqlBank(run: string): Bank<PoolConnection> {
  const pool = mysql.createPool({ uri: ONCEMQ_MYSQL_URL, connectionLimit: 12 })
  const [accounts, ledger] = [`accounts_${run}`, `ledger_${run}`]
  return {
    store: new MysqlStore({ pool }),
    async prepare(opening) {
      await pool.query(`CREATE TABLE ${accounts} (name VARCHAR(20) PRIMARY KEY, cents BIGINT NOT NULL)`)
      await pool.query(`CREATE TABLE ${ledger} (transfer VARCHAR(100) NOT NULL)`)
      for (const { account, cents } of opening) {
        await pool.query(`INSERT INTO ${accounts} VALUES (?, ?)`, [account, cents])
      }
    },
    async post(tx, { account, cents }) {
      await tx.query(`UPDATE ${accounts} SET cents = cents + ? WHERE name = ?`, [cents, account])
    },
    async enter(tx, transfer) {
      await tx.query(`INSERT INTO ${ledger} VALUES (?)`, [transfer])
    },
    async balances() {
      const [rows] = await pool.query<RowDataPacket[]>(`SELECT * FROM ${accounts}`)
      return Object.fromEntries(rows.map(({ name, cents }) => [String(name), Number(cents)]))
    },
    async ledger() {
      const [rows] = await pool.query<RowDataPacket[]>(`SELECT transfer FROM ${ledger}`)
      return rows.map(({ transfer }) => String(transfer))
    },
    async remove() {
      await pool.query(`DROP TABLE ${accounts}, ${ledger}`)
    },
    async close() {
      await pool.end()
    },
  }
}
