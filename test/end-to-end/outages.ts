import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import type { Server } from '@oncemq/test-services'

/** How a test takes a store away from its consumers, and gives it back. */
export interface Outage {
  begin(): Promise<void>
  end(): Promise<void>
}

/** The server is killed with -9, and started again on what it had written. */
export function serverKill(server: Server): Outage {
  return {
    begin: () => server.kill9(),
    end: () => server.start(),
  }
}

/** SQLite has no server. Somebody holds the lock for longer than anyone waits for it. */
export function heldLock(path: string): Outage {
  let holder: DatabaseSync | undefined
  return {
    async begin() {
      holder = new DatabaseSync(path, { timeout: 10_000 })
      holder.exec('BEGIN IMMEDIATE')
    },
    async end() {
      holder?.close()
    },
  }
}

const SQLITE_BUSY = 5
const LOOK_EVERY_MS = 20

/**
 * Whether somebody has SQLite's write lock for as long as `meanwhile` takes. Who works has it for moments, so
 * that it is one who was frozen in the middle of a transaction, and for all others the store is out of reach.
 */
export async function isLockKept(path: string, meanwhile: Promise<unknown>): Promise<boolean> {
  const database = new DatabaseSync(path)
  let isOver = false
  void meanwhile.then(() => (isOver = true))
  try {
    for (;;) {
      const isLastLook = isOver
      if (isFree(database)) return false
      if (isLastLook) return true
      await delay(LOOK_EVERY_MS)
    }
  } finally {
    database.close()
  }
}

function isFree(database: DatabaseSync): boolean {
  try {
    database.exec('BEGIN IMMEDIATE; ROLLBACK')
    return true
  } catch (error) {
    if ((error as { errcode?: number }).errcode !== SQLITE_BUSY) throw error
    return false
  }
}
