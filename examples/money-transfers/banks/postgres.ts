import { PostgresStore } from '@oncemq/postgres'
import pg from 'pg'
import type { Bank } from './bank.ts'

const { ONCEMQ_POSTGRES_URL = 'postgres://postgres@127.0.0.1/postgres' } = process.env

export function postgresBank(run: string): Bank<pg.PoolClient> {
  const pool = new pg.Pool({ connectionString: ONCEMQ_POSTGRES_URL, max: 12 })
  const [accounts, ledger] = [`accounts_${run}`, `ledger_${run}`]
  return {
    store: new PostgresStore({ pool }),
    async prepare(opening) {
      await pool.query(`CREATE TABLE ${accounts} (name text PRIMARY KEY, cents bigint NOT NULL)`)
      await pool.query(`CREATE TABLE ${ledger} (transfer text NOT NULL)`)
      for (const { account, cents } of opening) {
        await pool.query(`INSERT INTO ${accounts} VALUES ($1, $2)`, [account, cents])
      }
    },
    async post(tx, { account, cents }) {
      await tx.query(`UPDATE ${accounts} SET cents = cents + $1 WHERE name = $2`, [cents, account])
    },
    async enter(tx, transfer) {
      await tx.query(`INSERT INTO ${ledger} VALUES ($1)`, [transfer])
    },
    async balances() {
      const { rows } = await pool.query<{ name: string; cents: string }>(`SELECT * FROM ${accounts}`)
      return Object.fromEntries(rows.map(({ name, cents }) => [name, Number(cents)]))
    },
    async ledger() {
      const { rows } = await pool.query<{ transfer: string }>(`SELECT transfer FROM ${ledger}`)
      return rows.map(({ transfer }) => transfer)
    },
    async remove() {
      await pool.query(`DROP TABLE ${accounts}, ${ledger}`)
    },
    async close() {
      await pool.end()
    },
  }
}
