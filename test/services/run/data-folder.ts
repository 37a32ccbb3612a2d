import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startTime } from './processes.ts'

const PREFIX = 'oncemq-services-'
const OWNER = 'owner'
const ENTER_ONLY = 0o711

/**
 * Makes the folder for the data of all servers of this process, and removes those whose process was killed
 * before it could do so itself.
 */
export async function makeDataFolder(): Promise<string> {
  await removeLeftovers()
  const folder = await mkdtemp(join(tmpdir(), PREFIX))
  // A server that runs as another user has to reach its own folder in here, and needs to see nothing else.
  await chmod(folder, ENTER_ONLY)
  await writeFile(join(folder, OWNER), `${process.pid} ${await startTime(process.pid)}`)
  return folder
}

async function removeLeftovers(): Promise<void> {
  const names = (await readdir(tmpdir())).filter((name) => name.startsWith(PREFIX))
  for (const folder of names.map((name) => join(tmpdir(), name))) {
    const owner = await readFile(join(folder, OWNER), 'utf8').catch(() => undefined)
    if (owner === undefined) continue
    const [pid, start] = owner.split(' ')
    if ((await startTime(Number(pid))) !== start) await removeFolder(folder).catch(() => {})
  }
}

export async function removeFolder(folder: string): Promise<void> {
  // A server that was just killed may still have a child that writes.
  await rm(folder, { recursive: true, force: true, maxRetries: 5 })
}
