import { DatabaseSync } from 'node:sqlite'
import type { Payment } from './payments.ts'

/** How long a connection waits while another one writes. */
const LOCK_WAIT_MS = 2000

export interface Taken {
  readonly charges: number
  readonly cents: number
}

/** Opens the books: what was really taken, one row a charge. Nothing ever removes or merges a row. */
export function openBooks(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: LOCK_WAIT_MS })
  database.exec(`
    PRAGMA journal_mode = WAL;
    CREATE TABLE IF NOT EXISTS charges (payment TEXT NOT NULL, cents INTEGER NOT NULL)
  `)
  return database
}

// #region charge
/** Takes the money. It has no protection of its own: called twice, it takes it twice. */
export function charge(database: DatabaseSync, { id, cents }: Payment): void {
  database.prepare('INSERT INTO charges (payment, cents) VALUES (?, ?)').run(id, cents)
}
// #endregion

/** Reads what was taken, as anyone could who opens the file. */
export function readBooks(path: string): Taken {
  const database = openBooks(path)
  try {
    const row = database
      .prepare('SELECT count(*) AS charges, coalesce(sum(cents), 0) AS cents FROM charges')
      .get()
    return { charges: Number(row?.['charges']), cents: Number(row?.['cents']) }
  } finally {
    database.close()
  }
}
