import { chmod, lstat, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { unmountDisks } from './disk.ts'
import { startTime } from './processes.ts'

/** What the name of such a folder begins with: of servers that end with a process, and of those that stay. */
const PREFIXES = { bound: 'oncemq-services-', staying: 'oncemq-background-' } as const

export const SOCKET = 'socket'
const OWNER = 'owner'
const ENTER_ONLY = 0o711

/**
 * Makes the folder for the data of all servers of this process, and removes those whose process was killed
 * before it could do so itself.
 */
export async function makeDataFolder(kind: keyof typeof PREFIXES): Promise<string> {
  await removeLeftovers()
  const folder = await mkdtemp(join(tmpdir(), PREFIXES[kind]))
  // A server that runs as another user has to reach its own folder in here, and needs to see nothing else.
  await chmod(folder, ENTER_ONLY)
  await writeFile(join(folder, OWNER), `${process.pid} ${await startTime(process.pid)}`)
  return folder
}

async function removeLeftovers(): Promise<void> {
  for (const folder of [...(await dataFolders('bound')), ...(await dataFolders('staying'))]) {
    const owner = await readFile(join(folder, OWNER), 'utf8').catch(() => undefined)
    if (owner === undefined) continue
    const [pid, start] = owner.split(' ')
    if ((await startTime(Number(pid))) !== start) await removeFolder(folder).catch(() => {})
  }
}

/** The folders of this user's processes, also of those that are gone. */
export async function dataFolders(kind: keyof typeof PREFIXES): Promise<string[]> {
  const names = (await readdir(tmpdir())).filter((name) => name.startsWith(PREFIXES[kind]))
  const folders = names.map((name) => join(tmpdir(), name))
  const { uid } = userInfo()
  const owners = await Promise.all(
    folders.map((folder) =>
      lstat(folder).then(
        (info) => info.uid,
        () => undefined,
      ),
    ),
  )
  return folders.filter((_, index) => owners[index] === uid)
}

export async function removeFolder(folder: string): Promise<void> {
  await unmountDisks(folder)
  // A server that was just killed may still have a child that writes.
  await rm(folder, { recursive: true, force: true, maxRetries: 5 })
}
