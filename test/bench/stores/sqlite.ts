import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { SqliteStore } from '@oncemq/sqlite'
import type { BenchStore } from './bench-store.ts'

/** Both with WAL and `synchronous` FULL: an answer follows only what is on the disk. */
export const sqlite: BenchStore = {
  name: 'sqlite',
  async open() {
    const folder = await mkdtemp(join(tmpdir(), 'oncemq-bench-'))
    const database = new DatabaseSync(join(folder, 'naive.db'))
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
    database.exec('CREATE TABLE messages (key TEXT PRIMARY KEY, done INTEGER NOT NULL) STRICT')
    const claim = database.prepare('INSERT INTO messages VALUES (?, 0) ON CONFLICT DO NOTHING')
    const complete = database.prepare('UPDATE messages SET done = 1 WHERE key = ?')
    return {
      store: new SqliteStore({ path: join(folder, 'oncemq.db') }),
      naive: {
        async handle(key) {
          claim.run(key)
          complete.run(key)
        },
      },
      processes: () => [],
      async close() {
        database.close()
        await rm(folder, { recursive: true })
      },
    }
  },
}
