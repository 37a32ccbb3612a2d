import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { StoreEffects } from '@oncemq/conformance'
import { afterAll } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'oncemq-sqlite-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** A database file of this name in a folder that lives as long as the test file. */
export function fileOf(name: string): string {
  return join(folder, `${name}.db`)
}

/** Runs `work` on a connection of its own, as another program would. */
export function withDatabase<Answer>(file: string, work: (database: DatabaseSync) => Answer): Answer {
  const database = new DatabaseSync(file, { timeout: 5000 })
  try {
    return work(database)
  } finally {
    database.close()
  }
}

/** The handler's own writes: rows of a table beside the records. */
export const effects: StoreEffects<DatabaseSync> = {
  async prepare(namespace) {
    withDatabase(fileOf(namespace), (database) =>
      database.exec('CREATE TABLE effects (name TEXT NOT NULL) STRICT'),
    )
  },
  async write(tx, _namespace, name) {
    tx.prepare('INSERT INTO effects (name) VALUES (?)').run(name)
  },
  async commit(tx) {
    tx.exec('COMMIT')
  },
  async count(namespace, name) {
    const rows = withDatabase(fileOf(namespace), (database) =>
      database.prepare('SELECT name FROM effects WHERE name = ?').all(name),
    )
    return rows.length
  },
}
