import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { lstat, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { homedir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { Unavailable } from './command.ts'
import { withLock } from './lock.ts'

const OTHERS_MAY_ENTER = 0o001
const OTHERS_MAY_WRITE = 0o022

/**
 * Answers the folder that holds `name`, made by `build` when it is not there yet. `recipe` is everything that
 * decides what `build` makes: another recipe gets another folder, so that an old one in use is left alone.
 * Several processes may ask at once: one builds, the others wait for it.
 */
export async function cached(
  name: string,
  recipe: unknown,
  build: (folder: string) => Promise<void>,
): Promise<string> {
  const digest = createHash('sha256').update(JSON.stringify(recipe)).digest('hex').slice(0, 8)
  const folder = join(await cacheFolder(), `${name}-${digest}`)
  const done = `${folder}.done`
  if (existsSync(done)) return folder
  return withLock(`${folder}.lock`, async () => {
    if (existsSync(done)) return folder
    await rm(folder, { recursive: true, force: true })
    await mkdir(folder, { recursive: true })
    const started = performance.now()
    process.stderr.write(`getting ${name} for the tests, once\n`)
    await build(folder)
    await writeFile(done, `${JSON.stringify(recipe, null, 2)}\n`)
    process.stderr.write(`got ${name} in ${((performance.now() - started) / 1000).toFixed(1)} s\n`)
    return folder
  })
}

/** Where downloads and unpacked servers stay between runs. */
export async function cacheFolder(): Promise<string> {
  const folder = process.env['ONCEMQ_CACHE'] || (await usualFolder())
  await mkdir(folder, { recursive: true })
  const { mode, uid } = await lstat(folder)
  // The common temporary folder is open to all: another user's folder of that name must not feed us programs.
  if (uid !== userInfo().uid || (mode & OTHERS_MAY_WRITE) !== 0) {
    throw new Unavailable(`the cache ${folder} belongs to or is writable by another user; set ONCEMQ_CACHE`)
  }
  return folder
}

async function usualFolder(): Promise<string> {
  const home = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  // A server that refuses to be root runs as another user, who has to reach its programs.
  if (userInfo().uid !== 0 || (await isOpenToOthers(home))) return join(home, 'oncemq')
  return `/var/tmp/oncemq-${userInfo().uid}`
}

async function isOpenToOthers(folder: string): Promise<boolean> {
  for (let path = folder; path !== dirname(path); path = dirname(path)) {
    const found = await stat(path).catch(() => undefined)
    if (found !== undefined && (found.mode & OTHERS_MAY_ENTER) === 0) return false
  }
  return true
}

/** Throws unless the file is byte for byte the one that was tried when its digest was written down. */
export async function checkDigest(file: string, sha256: string): Promise<void> {
  const found = createHash('sha256')
    .update(await readFile(file))
    .digest('hex')
  if (found !== sha256) {
    throw new Unavailable(`${file} has sha256 ${found}, expected ${sha256}: remove it and try again`)
  }
}
