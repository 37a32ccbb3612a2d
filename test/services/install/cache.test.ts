import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { cached, cacheFolder } from './cache.ts'

const INSTALL_ONCE = fileURLToPath(new URL('../fixtures/install-once.ts', import.meta.url))
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oncemq-cache-'))
  vi.stubEnv('ONCEMQ_CACHE', folder)
  vi.spyOn(process.stderr, 'write').mockReturnValue(true)
})

afterEach(async () => {
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
  await rm(folder, { recursive: true })
})

async function install(made: string): Promise<unknown> {
  const child = spawn(process.execPath, [INSTALL_ONCE, made], { stdio: 'ignore' })
  const [code] = (await once(child, 'exit')) as [number]
  return code
}

test('processes that need the same thing at once make it once', async () => {
  const made = join(folder, 'made')
  expect(await Promise.all([install(made), install(made), install(made)])).toEqual([0, 0, 0])
  expect(await readFile(made, 'utf8')).toBe('made\n')
})

test('what was not finished is made anew', async () => {
  const broken = cached('thing', {}, () => Promise.reject(new Error('no network')))
  await expect(broken).rejects.toThrow('no network')
  const made = vi.fn<(folder: string) => Promise<void>>(() => Promise.resolve())
  await cached('thing', {}, made)
  await cached('thing', {}, made)
  expect(made).toHaveBeenCalledTimes(1)
})

test('another recipe gets another folder', async () => {
  const build = (): Promise<void> => Promise.resolve()
  expect(await cached('thing', 'one', build)).not.toBe(await cached('thing', 'two', build))
})

test('a folder that others may write to feeds us no programs', async () => {
  await chmod(folder, 0o777)
  await expect(cacheFolder()).rejects.toThrow(/writable by another user/)
})
