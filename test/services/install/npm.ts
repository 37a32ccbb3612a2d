import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { checkDigest } from './cache.ts'
import { run, Unavailable } from './command.ts'

/** Unpacks the tarball of a package as it is: no dependency is fetched and no script runs. */
export async function unpackNpm(spec: string, sha256: string, folder: string): Promise<void> {
  const download = join(folder, '.download')
  await mkdir(download)
  await run('npm', ['pack', '--silent', spec], { cwd: download })
  const [tarball] = await readdir(download)
  if (tarball === undefined) throw new Unavailable(`npm pack ${spec} made no file`)
  await checkDigest(join(download, tarball), sha256)
  await run('tar', ['xzf', join(download, tarball), '-C', folder, '--strip-components=1'])
  await rm(download, { recursive: true })
}
