import { mkdir } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import type { Place, Plan } from '../run/recipe.ts'

/** What MySQL and MariaDB do each in their own way. */
export interface MysqlProgram {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  initialize(database: EmptyDatabase): Promise<void>
}

export interface EmptyDatabase {
  readonly args: readonly string[]
  /** For files of its own. */
  readonly folder: string
  /** An existing folder in it, where the database is to be. */
  readonly data: string
  /** To be run once it is made. */
  readonly statements: readonly string[]
}

// The user root exists only on the Unix socket.
const FIRST_STATEMENTS = [
  'CREATE DATABASE test;',
  `CREATE USER 'test'@'127.0.0.1';`,
  `GRANT ALL ON *.* TO 'test'@'127.0.0.1' WITH GRANT OPTION;`,
]

export function mysqlUrl(port: number): string {
  return `mysql://test@127.0.0.1:${port}/test`
}

export async function mysqlPlan(program: MysqlProgram, { folder, settings, ports }: Place): Promise<Plan> {
  const port = await ports(1)
  const data = join(folder, 'data')
  const user = userInfo().uid === 0 ? ['--user=root'] : []
  // A server that starts removes the temporary files of all others from a folder that they share.
  const scratch = join(folder, 'tmp')
  const base = ['--no-defaults', ...program.args, `--datadir=${data}`, `--tmpdir=${scratch}`, ...user]
  const files = [`--socket=${join(folder, 'socket')}`, `--pid-file=${join(folder, 'pid')}`]
  const network = [`--port=${port}`, '--bind-address=127.0.0.1', '--skip-name-resolve']
  return {
    url: mysqlUrl(port),
    async prepare() {
      await mkdir(data)
      await mkdir(scratch)
      await program.initialize({ args: base, folder, data, statements: FIRST_STATEMENTS })
    },
    programs: [
      {
        name: program.name,
        command: program.command,
        args: [
          ...base,
          ...files,
          ...network,
          '--skip-log-bin',
          '--innodb-buffer-pool-size=64M',
          ...settings.args,
        ],
        env: settings.env,
        port,
        readyLine: /ready for connections/,
        stopSignal: 'SIGTERM',
      },
    ],
  }
}
