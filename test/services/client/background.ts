import { join } from 'node:path'
import { cacheFolder } from '../install/cache.ts'
import { withLock } from '../install/lock.ts'
import { backgroundFolders, SOCKET } from '../run/data-folder.ts'
import { type Connection, openConnection, startSupervisor } from './connection.ts'

/** The supervisor that `up` left in the background; one for each clone and user of the machine. */
export async function findBackground(): Promise<Connection | undefined> {
  for (const folder of await backgroundFolders()) {
    const connection = await openConnection(join(folder, SOCKET)).catch(() => undefined)
    if (connection !== undefined) return connection
  }
  return undefined
}

export async function findOrStartBackground(): Promise<Connection> {
  const lock = join(await cacheFolder(), 'background.lock')
  return withLock(lock, async () => {
    return (await findBackground()) ?? openConnection(await startSupervisor({ stays: true }))
  })
}
