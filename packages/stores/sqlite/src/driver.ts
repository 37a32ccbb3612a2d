import type * as sqlite from 'node:sqlite'
import { StoreError } from '@oncemq/core/store'

type Driver = typeof sqlite

const NODE_MIN = '22.16'

/** What is looked at of the process. */
interface Host {
  readonly version: string
  /** Came with Node 20.16 and 22.3; what is older has no SQLite either. */
  readonly getBuiltinModule?: (name: 'node:sqlite') => Driver | undefined
}

/**
 * Node's SQLite, asked for by whoever makes a store: a Node without it can load this package all the same.
 * Asked of the process, since jest and bundlers do not know the module by its name.
 * @throws StoreError `ONCEMQ_STORE_REFUSED` where Node has none, or one that cannot do what the store needs.
 */
export function nodeSqlite(host: Host = process): Driver {
  const driver = host.getBuiltinModule?.('node:sqlite')
  // This method came with the setting how long SQLite waits for a lock, which older ones ignore.
  if (driver !== undefined && 'location' in driver.DatabaseSync.prototype) return driver
  throw new StoreError(
    'ONCEMQ_STORE_REFUSED',
    `SqliteStore: expected Node.js ${NODE_MIN} or newer for its node:sqlite, received ${host.version}; ` +
      'update Node.js, or take a store that needs none, such as @oncemq/postgres or @oncemq/redis',
  )
}
