import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { createDatabase } from '../services/database.ts'

export const EXAMPLES = fileURLToPath(new URL('../../examples', import.meta.url))

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  /** The file that is run, in the example's folder. @default 'main.ts' */
  readonly main?: string
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** The URL of a database that this test alone has, so that an example may make, count and drop there. */
export async function ownDatabase({ url }: { readonly url: string }): Promise<string> {
  const database = await createDatabase(url)
  onTestFinished(() => database.drop())
  return database.url
}

/** Runs an example as its reader would, in its own folder, by its own main file; it ends with its test. */
export function runExample(
  name: string,
  { main = 'main.ts', args = [], env = {} }: RunOptions = {},
): Promise<Finished> {
  const child = spawn(process.execPath, ['--conditions=@oncemq/source', main, ...args], {
    cwd: `${EXAMPLES}/${name}`,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill())
  return new Promise((resolve, reject) => {
    let [stdout, stderr] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk))
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}
