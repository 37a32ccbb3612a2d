import { readdir, readFile, readlink } from 'node:fs/promises'

const LISTENING = '0A'
const POLL_MS = 25

/** When the process started, in ticks since the machine did: with the pid it names one process for good. */
export async function startTime(pid: number): Promise<string | undefined> {
  return (await status(pid))?.[19]
}

/** A process that ended but was not waited for (a zombie) counts as gone. */
export async function isAlive(pid: number): Promise<boolean> {
  const state = (await status(pid))?.[0]
  return state !== undefined && state !== 'Z'
}

/** The fields of /proc/PID/stat after the program's name, which may itself contain blanks and brackets. */
async function status(pid: number): Promise<string[] | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')
}

/** All processes below this one, parents first. */
export async function descendants(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  const children = text.split(' ').filter(Boolean).map(Number)
  const below = await Promise.all(children.map(descendants))
  return [...children, ...below.flat()]
}

/** Whether this very process, and no stranger, listens on the port. */
export async function listensOn(pid: number, port: number): Promise<boolean> {
  const sockets = await listeners(port)
  if (sockets.size === 0) return false
  const folder = `/proc/${pid}/fd`
  const files = await readdir(folder).catch(() => [])
  const targets = await Promise.all(files.map((file) => readlink(`${folder}/${file}`).catch(() => '')))
  return targets.some((target) => sockets.has(target))
}

/** The listening sockets of a port as the kernel names them in /proc/PID/fd. */
async function listeners(port: number): Promise<Set<string>> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const tables = ['/proc/net/tcp', '/proc/net/tcp6'].map((file) => readFile(file, 'utf8').catch(() => ''))
  const rows = (await Promise.all(tables))
    .join('\n')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
  const matching = rows.filter((row) => row[1]?.endsWith(suffix) === true && row[3] === LISTENING)
  return new Set(matching.map((row) => `socket:[${row[9]}]`))
}

/** Waits until `condition` holds; answers false when it did not within the time. */
export async function waitFor(condition: () => Promise<boolean>, timeoutMs: number): Promise<boolean> {
  const end = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > end) return false
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  return true
}
