import { DatabaseSync } from 'node:sqlite'
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
