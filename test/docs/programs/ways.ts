// What the page about the ways to be idempotent shows.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

const folder = mkdtempSync(join(tmpdir(), 'oncemq-docs-'))
process.chdir(folder)
const shop = new DatabaseSync('shop.db')
shop.exec(`
  CREATE TABLE orders (id TEXT PRIMARY KEY, cents INTEGER NOT NULL);
  CREATE TABLE parcels (id TEXT PRIMARY KEY, state TEXT NOT NULL);
  CREATE TABLE stock (article TEXT PRIMARY KEY, pieces INTEGER NOT NULL);
  INSERT INTO parcels VALUES ('parcel-1', 'packed');
`)

// #region natural-key
import { createDeduplicator, naturalKey } from '@oncemq/core'
import { insertOnce, SqliteStore } from '@oncemq/sqlite'

const orders = createDeduplicator({
  store: new SqliteStore({ path: 'shop.db' }),
  consumerGroup: 'orders',
  strategy: naturalKey({ constraint: 'orders.id' }),
})
// #endregion
const message = { key: 'event-1' }
for (let copy = 0; copy < 2; copy += 1) {
  const outcome = await orders.process(message, ({ tx }) => {
    tx.prepare('INSERT INTO orders VALUES (?, ?)').run('order-1', 500)
  })
  console.log(outcome.status)
}

// #region insert-once
await orders.run('event-2', ({ tx }) => {
  const answer = insertOnce(tx, { table: 'orders', key: { id: 'order-1' }, values: { cents: 500 } })
  console.log(answer)
})
// #endregion
await orders.close()

// #region state-machine
import { stateMachine } from '@oncemq/core'

interface ParcelEvent {
  readonly parcel: string
  readonly event: 'sent' | 'delivered' | 'returned'
}

const parcels = createDeduplicator({
  store: new SqliteStore({ path: 'shop.db' }),
  consumerGroup: 'parcels',
  strategy: stateMachine({
    table: 'parcels',
    id: 'id',
    state: 'state',
    initial: 'packed',
    final: ['delivered', 'returned'],
    transitions: {
      sent: { from: 'packed', to: 'sent' },
      delivered: { from: 'sent', to: 'delivered' },
      returned: { from: 'sent', to: 'returned' },
    },
    read: ({ parcel, event }: ParcelEvent) => ({ id: parcel, transition: event }),
  }),
})
// #endregion
const events: ParcelEvent['event'][] = ['delivered', 'sent', 'sent', 'delivered', 'returned']
for (const event of events) {
  const outcome = await parcels.process({ key: undefined, message: { parcel: 'parcel-1', event } }, () => {})
  console.log(event, outcome.status)
}
await parcels.close()

// #region event-id
import { eventId } from '@oncemq/core'

const id = eventId('order', 'order-1', 'paid')
// #endregion
console.log(id)
shop.close()
process.chdir(tmpdir())
rmSync(folder, { recursive: true })
