import { createHash } from 'node:crypto'
import { chmod, lstat, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { unmountDisks } from './disk.ts'
import { startTime } from './processes.ts'

/** Of servers that end with a process, and of those that stay. */
const PREFIXES = { bound: 'oncemq-services-', staying: 'oncemq-background-' } as const

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
/** Those that stay belong to the clone that started them. */
const CLONE = `${createHash('sha256').update(ROOT).digest('hex').slice(0, 8)}-`

export const SOCKET = 'socket'
const OWNER = 'owner'
const ENTER_ONLY = 0o711

/**
 * Makes the folder for the data of all servers of this process, and removes those whose process was killed
 * before it could do so itself.
 */
export async function makeDataFolder(kind: keyof typeof PREFIXES): Promise<string> {
  await removeLeftovers()
  const folder = await mkdtemp(join(tmpdir(), PREFIXES[kind] + CLONE))
  // A server that runs as another user has to reach its own folder in here, and needs to see nothing else.
  await chmod(folder, ENTER_ONLY)
  await writeFile(join(folder, OWNER), `${process.pid} ${await startTime(process.pid)}`)
  return folder
}

async function removeLeftovers(): Promise<void> {
  for (const folder of [...(await dataFolders(PREFIXES.bound)), ...(await dataFolders(PREFIXES.staying))]) {
    const owner = await readFile(join(folder, OWNER), 'utf8').catch(() => undefined)
    if (owner === undefined) continue
    const [pid, start] = owner.split(' ')
    if ((await startTime(Number(pid))) !== start) await removeFolder(folder).catch(() => {})
  }
}

/** Where a supervisor may be that `up` left in the background for this user, from this clone. */
export function backgroundFolders(): Promise<string[]> {
  return dataFolders(PREFIXES.staying + CLONE)
}

/** The folders of this user's processes, also of those that are gone. */
async function dataFolders(prefix: string): Promise<string[]> {
  const names = (await readdir(tmpdir())).filter((name) => name.startsWith(prefix))
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
