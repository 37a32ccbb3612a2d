import { existsSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../install/command.ts'
import { type DebianRelease, debianTree } from '../install/debian.ts'
import type { Recipe } from '../run/recipe.ts'
import { type MysqlProgram, mysqlPlan, mysqlUrl } from './mysql-plan.ts'

/** MariaDB. `args` are its own arguments, as `--innodb-lock-wait-timeout=1`. */
function mariadb<const Name extends string>(
  name: Name,
  isDefault: boolean,
  release: DebianRelease,
): Recipe<Name> {
  return {
    name,
    isDefault,
    container: { port: 3306, url: mysqlUrl },
    async install() {
      const wanted = { release, packages: ['mariadb-server-core'], dependencies: true }
      const program = programOf(await debianTree(name, wanted, ['usr/sbin/mariadbd']))
      return async (place) => mysqlPlan(program, place)
    },
  }
}

export const mariadbServers = [
  mariadb('mariadb-11.8', true, 'trixie'),
  mariadb('mariadb-10.11', false, 'bookworm'),
] as const

function programOf(tree: string): MysqlProgram {
  const command = join(tree, 'usr/sbin/mariadbd')
  const share = [join(tree, 'usr/share/mariadb'), join(tree, 'usr/share/mysql')].find(holdsScripts) ?? ''
  const plugins = `--plugin-dir=${join(tree, 'usr/lib/mysql/plugin')}`
  return {
    name: 'mariadb',
    command,
    args: [`--basedir=${join(tree, 'usr')}`, `--lc-messages-dir=${share}`, plugins],
    // What the script mariadb-install-db does, without its steps that touch the machine.
    async initialize({ args, data, statements }) {
      await mkdir(join(data, 'mysql'))
      await mkdir(join(data, 'sys'))
      const input = await systemTables(share)
      const users = ['use mysql;', 'FLUSH PRIVILEGES;', ...statements, '']
      await run(command, [...args, '--bootstrap', '--skip-name-resolve'], {
        input: [...input, ...users].join('\n'),
      })
    },
  }
}

function holdsScripts(share: string): boolean {
  return ['mysql', 'mariadb'].some((flavor) => existsSync(join(share, `${flavor}_system_tables.sql`)))
}

/** The names of these files changed with the name of the server. */
async function systemTables(share: string): Promise<string[]> {
  const parts = ['system_tables', 'performance_tables', 'system_tables_data', 'sys_schema']
  const start = ['CREATE DATABASE IF NOT EXISTS mysql;', 'use mysql;', 'SET @auth_root_socket=NULL;']
  const texts = parts.map(async (part) => {
    const files = ['mysql', 'mariadb'].map((flavor) => join(share, `${flavor}_${part}.sql`))
    return readFile(files.find((file) => existsSync(file)) ?? '', 'utf8')
  })
  return [...start, 'SET @skip_auth_anonymous=1;', ...(await Promise.all(texts))]
}
