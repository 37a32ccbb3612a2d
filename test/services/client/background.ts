import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheFolder } from '../install/cache.ts'
import { withLock } from '../install/lock.ts'
import { type Connection, openConnection, startSupervisor } from './connection.ts'

/** The supervisor that `up` left in the background; one for each user of the machine. */
export async function findBackground(): Promise<Connection | undefined> {
  const socketPath = await readFile(await pathFile(), 'utf8').catch(() => undefined)
  if (socketPath === undefined) return undefined
  return openConnection(socketPath).catch(() => undefined)
}

export async function findOrStartBackground(): Promise<Connection> {
  const file = await pathFile()
  return withLock(`${file}.lock`, async () => {
    const found = await findBackground()
    if (found !== undefined) return found
    const socketPath = await startSupervisor({ stays: true })
    await writeFile(file, socketPath)
    return openConnection(socketPath)
  })
}

export async function endBackground(connection: Connection): Promise<void> {
  await connection.endSupervisor()
  await rm(await pathFile(), { force: true })
}

async function pathFile(): Promise<string> {
  return join(await cacheFolder(), 'background')
}
