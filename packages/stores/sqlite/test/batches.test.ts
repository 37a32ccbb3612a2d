import { DatabaseSync } from 'node:sqlite'
import { SqliteStore } from '@oncemq/sqlite'
import { newHex } from '@oncemq/test-stores'
import { testBatches } from '@oncemq/test-stores/batches'
import type { BatchScene } from '@oncemq/test-stores/batches'
import { fileOf } from './folder.ts'

async function open(): Promise<BatchScene<DatabaseSync>> {
  const path = fileOf(newHex())
  const store = new SqliteStore({ path })
  await store.open()
  const own = new DatabaseSync(path)
  own.exec(`CREATE TABLE effects (name TEXT PRIMARY KEY,
    other TEXT REFERENCES effects DEFERRABLE INITIALLY DEFERRED)`)
  const insert = async (tx: DatabaseSync, name: string, other: string | null = null) =>
    tx.prepare('INSERT INTO effects VALUES (?, ?)').run(name, other)
  return {
    store,
    write: insert,
    commit: async (tx) => tx.exec('COMMIT'),
    spoil: (tx) => insert(tx, 'spoilt', 'missing'),
    async effects() {
      const rows = own.prepare('SELECT name FROM effects ORDER BY name').all()
      return rows.map(({ name }) => name as string)
    },
    async close() {
      own.close()
      await store.close()
    },
  }
}

testBatches(open)
