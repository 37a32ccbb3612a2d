import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { run, Unavailable } from './command.ts'

const OLDEST = 17

/**
 * Answers the path of a Java that is new enough. Servers get a clean environment, so they need the full
 * path.
 */
export async function findJava(): Promise<string> {
  const home = process.env['JAVA_HOME']
  const folders = [
    ...(home === undefined ? [] : [join(home, 'bin')]),
    ...(process.env['PATH'] ?? '').split(delimiter),
  ]
  const java = folders.map((folder) => join(folder, 'java')).find((file) => existsSync(file))
  if (java === undefined) throw new Unavailable(`needs Java ${OLDEST} or newer, which is missing here`)
  const version = await run(java, ['--version'])
  const major = Number(/(\d+)/.exec(version)?.[1])
  if (major < OLDEST) throw new Unavailable(`needs Java ${OLDEST} or newer, found ${major}`)
  return java
}
