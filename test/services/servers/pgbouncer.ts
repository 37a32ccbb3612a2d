import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { debianTree } from '../install/debian.ts'
import { giveAway } from '../run/privileges.ts'
import type { Plan, Program, Recipe } from '../run/recipe.ts'
import { postgresPrograms, postgresPlan, postgresUrl } from './postgres.ts'

// Named one by one: by its dependencies it would bring a PostgreSQL and a Perl.
const PACKAGES = (
  'pgbouncer libc6 libc-ares2 libevent-2.1-7 libssl3 libpam0g libaudit1 libcap-ng0 libsystemd0 libcap2 ' +
  'libgcrypt20 libgpg-error0 liblz4-1 liblzma5 libzstd1'
).split(' ')

/**
 * PgBouncer in transaction mode in front of a PostgreSQL 18 of its own; this release of it knows no prepared
 * statements. `args` are lines of its configuration. The nodes are `pgbouncer` and `postgres`.
 */
const pgbouncer: Recipe<'pgbouncer'> = {
  name: 'pgbouncer',
  isDefault: true,
  async install() {
    const wanted = { release: 'bookworm', packages: PACKAGES, dependencies: false } as const
    const [tree, programs] = await Promise.all([
      debianTree('pgbouncer', wanted, ['usr/sbin/pgbouncer']),
      postgresPrograms(),
    ])
    return async (place) => {
      const port = await place.ports(2)
      const database = postgresPlan(programs, port + 1, { ...place, settings: { args: [], env: {} } })
      return inFront(database, join(tree, 'usr/sbin/pgbouncer'), port, place.folder, place.settings.args)
    }
  },
}

export const pgbouncerServers = [pgbouncer] as const

function inFront(
  database: Plan,
  command: string,
  port: number,
  folder: string,
  lines: readonly string[],
): Plan {
  const own = join(folder, 'pgbouncer')
  const file = join(own, 'pgbouncer.ini')
  const program: Program = {
    name: 'pgbouncer',
    command,
    args: [file],
    cwd: own,
    port,
    readyLine: /process up/,
    stopSignal: 'SIGINT',
    unprivileged: true,
  }
  return {
    url: postgresUrl(port),
    async prepare() {
      await database.prepare?.()
      await mkdir(own)
      await writeFile(file, configuration(port, lines))
      await giveAway(own)
    },
    programs: [program, ...database.programs],
  }
}

/** Few connections, each of which forgets its session after each transaction. */
function configuration(port: number, lines: readonly string[]): string {
  return `[databases]
postgres = host=127.0.0.1 port=${port + 1} dbname=postgres user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
admin_users = postgres
pool_mode = transaction
default_pool_size = 8
max_client_conn = 500
server_reset_query_always = 1
server_login_retry = 1
${lines.join('\n')}
`
}
