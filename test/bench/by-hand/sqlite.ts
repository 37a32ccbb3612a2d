import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { SqliteStore } from '@oncemq/sqlite'
import type { HandWritten } from './hand-written.ts'

const CHARGE = 'INSERT INTO charges VALUES (?, 1999)'
const TABLES = `
  CREATE TABLE IF NOT EXISTS messages (key TEXT PRIMARY KEY) STRICT;
  CREATE TABLE IF NOT EXISTS charges (key TEXT NOT NULL, cents INTEGER NOT NULL) STRICT`

/** As people write it with `node:sqlite`: prepared statements on one connection, each commit on the disk. */
export const sqlite: HandWritten = {
  name: 'sqlite',
  async open() {
    const folder = await mkdtemp(join(tmpdir(), 'oncemq-bench-'))
    const [path, storePath] = [join(folder, 'by-hand.db'), join(folder, 'oncemq.db')]
    const database = new DatabaseSync(path)
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
    database.exec(TABLES)
    const theirs = new DatabaseSync(storePath)
    theirs.exec(TABLES)
    theirs.close()
    const find = database.prepare('SELECT 1 FROM messages WHERE key = ?')
    const insert = database.prepare('INSERT INTO messages VALUES (?) ON CONFLICT DO NOTHING')
    const charge = database.prepare(CHARGE)
    return {
      url: undefined,
      store: new SqliteStore({ path: storePath }),
      async lease(key) {
        if (find.get(key) === undefined) insert.run(key)
      },
      transactional: {
        async byHand(key) {
          database.exec('BEGIN IMMEDIATE')
          if (insert.run(key).changes === 1) charge.run(key)
          database.exec('COMMIT')
        },
        async effect(tx: DatabaseSync, key) {
          tx.prepare(CHARGE).run(key)
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
