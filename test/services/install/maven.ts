import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheFolder } from './cache.ts'
import { run } from './command.ts'
import { withLock } from './lock.ts'

export interface Artifact {
  readonly groupId: string
  readonly artifactId: string
  readonly version: string
}

/** Puts the jars of the artifacts, with all that they need at run time, into a folder. */
export async function copyJars(artifacts: readonly Artifact[], folder: string): Promise<void> {
  const project = join(folder, 'pom.xml')
  await writeFile(project, projectOf(artifacts))
  await maven(folder, '-f', project, 'dependency:copy-dependencies', '-DincludeScope=runtime')
}

/** Unpacks the jar of one artifact, without what it needs, into a folder. */
export async function unpackJar({ groupId, artifactId, version }: Artifact, folder: string): Promise<void> {
  const artifact = [groupId, artifactId, version].join(':')
  await maven(folder, 'dependency:unpack', `-Dartifact=${artifact}`)
}

/** One at a time: two Mavens that fill the same repository of the user get in each other's way. */
async function maven(folder: string, ...args: string[]): Promise<void> {
  // The plugin leaves marks in the working folder.
  const work = (): Promise<string> =>
    run('mvn', ['-q', '-B', ...args, `-DoutputDirectory=${folder}`], { cwd: folder })
  await withLock(join(await cacheFolder(), 'maven.lock'), work)
}

function projectOf(artifacts: readonly Artifact[]): string {
  const dependencies = artifacts.map(
    ({ groupId, artifactId, version }) =>
      `<dependency><groupId>${groupId}</groupId><artifactId>${artifactId}</artifactId>` +
      `<version>${version}</version></dependency>`,
  )
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
${dependencies.join('\n')}
</dependencies>
</project>
`
}
