import { existsSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cached, cacheFolder } from './cache.ts'
import { run, Unavailable } from './command.ts'
import { withLock } from './lock.ts'

export type DebianRelease = 'bookworm' | 'trixie'

export interface DebianPackages {
  readonly release: DebianRelease
  readonly packages: readonly string[]
  /** Also what the packages depend on, down to the C library. Without it exactly the named ones are taken. */
  readonly dependencies: boolean
}

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
const INDEX_AGE_MAX_MS = 24 * 3600 * 1000
const LIBRARY_FOLDERS = [
  'usr/lib/x86_64-linux-gnu',
  'lib/x86_64-linux-gnu',
  'usr/lib/x86_64-linux-gnu/systemd',
]
const OWNER_MAY_RUN = 0o100
const LOADER = 'ld-linux-x86-64.so.2'

/**
 * Unpacks Debian packages into a folder of the cache. No root is needed and the machine's own packages are
 * not touched: apt gets its own lists, cache and (empty) record of what is installed, and no package's
 * scripts run, so no service is started. The programs named in `programs` (files or folders) then use the C
 * library of the unpacked tree, whatever release the machine has; the tree may not be moved afterwards.
 */
export async function debianTree(
  name: string,
  wanted: DebianPackages,
  programs: readonly string[],
  finish?: (folder: string) => Promise<void>,
): Promise<string> {
  return cached(name, { ...wanted, programs }, async (folder) => {
    await unpack(wanted, folder)
    await useOwnLibraries(folder, await executables(programs.map((program) => join(folder, program))))
    await finish?.(folder)
  })
}

async function unpack({ release, packages, dependencies }: DebianPackages, folder: string): Promise<void> {
  const config = await aptConfig(release)
  const archives = join(folder, '.debs')
  await mkdir(join(archives, 'partial'), { recursive: true })
  const env = { ...process.env, APT_CONFIG: config }
  if (dependencies) {
    const archive = ['-o', `Dir::Cache::archives=${archives}`]
    await run('apt-get', ['-qq', ...archive, 'install', '--download-only', ...packages], { env })
  } else {
    await run('apt-get', ['-qq', 'download', ...packages], { env, cwd: archives })
  }
  for (const file of await readdir(archives)) {
    if (file.endsWith('.deb')) await run('dpkg-deb', ['-x', join(archives, file), folder])
  }
  await rm(archives, { recursive: true })
}

/** A private apt for one release; its index is fetched once a day. */
async function aptConfig(release: DebianRelease): Promise<string> {
  const root = join(await cacheFolder(), `apt-${release}`)
  const config = join(root, 'apt.conf')
  const updated = join(root, 'updated')
  return withLock(`${root}.lock`, async () => {
    const age = await stat(updated).then(
      ({ mtimeMs }) => Date.now() - mtimeMs,
      () => Infinity,
    )
    if (age < INDEX_AGE_MAX_MS) return config
    for (const folder of ['etc', 'state/lists/partial', 'cache/archives/partial']) {
      await mkdir(join(root, folder), { recursive: true })
    }
    await writeFile(join(root, 'sources.list'), await sources(release))
    await writeFile(join(root, 'status'), '')
    await writeFile(config, aptSettings(root))
    await run('apt-get', ['-qq', 'update'], { env: { ...process.env, APT_CONFIG: config } })
    await writeFile(updated, '')
    return config
  })
}

function aptSettings(root: string): string {
  return `Dir::Etc "${root}/etc";
Dir::Etc::sourcelist "${root}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::State "${root}/state";
Dir::State::status "${root}/status";
Dir::Cache "${root}/cache";
Dir::Log "${root}";
APT::Sandbox::User "";
APT::Install-Recommends "false";
APT::Get::Assume-Yes "true";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Debug::NoLocking "true";
`
}

/** The mirror is the one this machine uses itself; none is written down here. */
async function sources(release: DebianRelease): Promise<string> {
  if (!existsSync(KEYRING)) throw new Unavailable('needs the package debian-archive-keyring')
  const uris = await machineMirrors()
  const main = uris.find((uri) => uri.endsWith('/debian'))
  const security = uris.find((uri) => uri.endsWith('/debian-security'))
  if (main === undefined) throw new Unavailable('needs a Debian mirror in the sources of apt')
  const lines = [`${main} ${release}`, `${main} ${release}-updates`]
  if (security !== undefined) lines.push(`${security} ${release}-security`)
  return lines.map((line) => `deb [signed-by=${KEYRING}] ${line} main\n`).join('')
}

async function machineMirrors(): Promise<string[]> {
  const folder = '/etc/apt/sources.list.d'
  const names = await readdir(folder).catch(() => [])
  const files = ['/etc/apt/sources.list', ...names.map((name) => join(folder, name))]
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')))
  const lines = texts
    .join('\n')
    .split('\n')
    .filter((line) => !line.trimStart().startsWith('#'))
  return lines.flatMap((line) => line.match(/https?:\/\/\S+/g) ?? []).map((uri) => uri.replace(/\/+$/, ''))
}

/** Programs (no libraries) in machine code at or below the given paths. */
async function executables(paths: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const file of (await Promise.all(paths.map(filesAt))).flat()) {
    const isLibrary = /\.so(\.|$)/.test(file)
    const { mode } = await stat(file)
    if (!isLibrary && (mode & OWNER_MAY_RUN) !== 0 && (await isMachineCode(file))) found.push(file)
  }
  return found
}

async function filesAt(path: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return [path]
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}

async function isMachineCode(file: string): Promise<boolean> {
  const handle = await open(file)
  try {
    const { buffer } = await handle.read(Buffer.alloc(4), 0, 4, 0)
    return buffer.toString('latin1') === '\u007fELF'
  } finally {
    await handle.close()
  }
}

/**
 * DT_RPATH (not RUNPATH) also serves libraries that the program loads later, and, unlike LD_LIBRARY_PATH, it
 * does not reach the machine's own programs that a server starts.
 */
async function useOwnLibraries(folder: string, programs: readonly string[]): Promise<void> {
  if (programs.length === 0) return
  const rpath = libraryPath(folder)
  const patchelf = await patchelfTree()
  const command = [...patchelf, '--set-interpreter', loader(folder), '--force-rpath', '--set-rpath', rpath]
  await run(command[0] ?? '', [...command.slice(1), ...programs])
}

async function patchelfTree(): Promise<string[]> {
  const packages = ['patchelf', 'libc6', 'libgcc-s1', 'libstdc++6']
  const folder = await debianTree('patchelf', { release: 'bookworm', packages, dependencies: false }, [])
  return [loader(folder), '--library-path', libraryPath(folder), join(folder, 'usr/bin/patchelf')]
}

function libraryPath(folder: string): string {
  return LIBRARY_FOLDERS.map((path) => join(folder, path)).join(':')
}

function loader(folder: string): string {
  return libraryFile(folder, LOADER)
}

/** Where a library lies in an unpacked tree; that differs between packages. */
export function libraryFile(folder: string, name: string): string {
  const found = LIBRARY_FOLDERS.map((path) => join(folder, path, name)).find((path) => existsSync(path))
  if (found === undefined) throw new Unavailable(`no ${name} in ${folder}`)
  return found
}
