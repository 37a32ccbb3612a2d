import { DatabaseSync } from 'node:sqlite'
import type { Clock } from '@oncemq/core/store'
import type { Shop, ShopOwner } from '@oncemq/example-five-ways'
import { TABLES } from '@oncemq/example-five-ways'
import { SqliteStore } from '@oncemq/sqlite'

/** The shop in a SQLite file. Store and effects have one connection, so that its end ends both. */
export function openSqliteShop(database: DatabaseSync, clock: Clock): Shop<DatabaseSync> {
  return {
    store: new SqliteStore({ database, clock }),
    paymentKey: 'payments.order_id',
    async charge(tx, { id, cents }) {
      tx.prepare('INSERT INTO charges VALUES (?, ?)').run(id, cents)
    },
    async enterPayment(tx, { id, cents }) {
      tx.prepare('INSERT INTO payments VALUES (?, ?)').run(id, cents)
    },
    async close() {
      database.close()
    },
  }
}

export function ownSqliteShop(path: string): ShopOwner {
  const database = new DatabaseSync(path)
  return {
    async prepare(orders) {
      database.exec('PRAGMA journal_mode = WAL')
      for (const sql of TABLES) database.exec(sql)
      const insert = database.prepare("INSERT INTO orders VALUES (?, 'pending')")
      for (const { id } of orders) insert.run(id)
    },
    async charges() {
      const rows = database.prepare('SELECT order_id, cents FROM charges').all()
      return rows.map((row) => ({ order: String(row['order_id']), cents: Number(row['cents']) }))
    },
    async remove() {
      database.close()
    },
  }
}
