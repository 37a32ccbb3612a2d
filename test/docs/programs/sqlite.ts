// What the page of the SQLite store shows.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

const folder = mkdtempSync(join(tmpdir(), 'oncemq-docs-'))
process.chdir(folder)

// #region first
import { createDeduplicator } from '@oncemq/core'
import { SqliteStore } from '@oncemq/sqlite'

const store = new SqliteStore({ path: 'oncemq.db' })
const dedup = createDeduplicator({ store, consumerGroup: 'billing' })

await dedup.run('stripe:evt_1', async () => {
  console.log('runs once')
})
// #endregion
console.log((await dedup.run('stripe:evt_1', () => console.log('never printed'))).status)
await dedup.close()

const shop = new DatabaseSync('shop.db')
shop.exec(
  "CREATE TABLE accounts (id TEXT, cents INTEGER); INSERT INTO accounts VALUES ('alice', 900), ('bob', 0)",
)

// #region transactional
const ledger = createDeduplicator({
  store: new SqliteStore({ path: 'shop.db' }),
  consumerGroup: 'ledger',
  strategy: 'transactional',
})

await ledger.run('transfer-1', async ({ tx }) => {
  tx.prepare('UPDATE accounts SET cents = cents - ? WHERE id = ?').run(500, 'alice')
  tx.prepare('UPDATE accounts SET cents = cents + ? WHERE id = ?').run(500, 'bob')
})
// #endregion
console.log(JSON.stringify(shop.prepare('SELECT * FROM accounts').all()))
await ledger.close()
shop.close()
process.chdir(tmpdir())
rmSync(folder, { recursive: true })
