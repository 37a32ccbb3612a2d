import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { SqliteStore } from '@oncemq/sqlite'
import type { Bank } from './bank.ts'

export function sqliteBank(run: string): Bank<DatabaseSync> {
  const path = join(tmpdir(), `oncemq-bank-${run}.db`)
  const database = new DatabaseSync(path, { timeout: 5000 })
  return {
    store: new SqliteStore({ path }),
    async prepare(opening) {
      database.exec('PRAGMA journal_mode = WAL')
      database.exec('CREATE TABLE accounts (name TEXT PRIMARY KEY, cents INTEGER NOT NULL) STRICT')
      database.exec('CREATE TABLE ledger (transfer TEXT NOT NULL) STRICT')
      const insert = database.prepare('INSERT INTO accounts VALUES (?, ?)')
      for (const { account, cents } of opening) insert.run(account, cents)
    },
    async post(tx, { account, cents }) {
      tx.prepare('UPDATE accounts SET cents = cents + ? WHERE name = ?').run(cents, account)
    },
    async enter(tx, transfer) {
      tx.prepare('INSERT INTO ledger VALUES (?)').run(transfer)
    },
    async balances() {
      const rows = database.prepare('SELECT name, cents FROM accounts').all()
      return Object.fromEntries(rows.map(({ name, cents }) => [String(name), Number(cents)]))
    },
    async ledger() {
      return database
        .prepare('SELECT transfer FROM ledger')
        .all()
        .map(({ transfer }) => String(transfer))
    },
    async remove() {
      for (const suffix of ['', '-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true })
    },
    async close() {
      database.close()
    },
  }
}
