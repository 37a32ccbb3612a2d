import { execFile } from 'node:child_process'
import { stripVTControlCharacters } from 'node:util'

/** Why a server cannot be had on this machine; its message is shown to the person who runs the tests. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable'
}

export interface CommandOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  readonly timeoutMs?: number
  readonly input?: string
}

const OUTPUT_MAX_BYTES = 64 * 1024 * 1024
const ERROR_LINES_MAX = 3

/**
 * The command line that ends a program together with the process that starts it, even if that one is killed
 * with -9: the kernel sends the signal. It survives `exec`, so wrapper scripts keep it.
 */
export function endingWithParent(command: string, args: readonly string[]): [string, string[]] {
  if (process.platform !== 'linux') return [command, [...args]]
  return ['setpriv', ['--pdeathsig', 'KILL', '--', command, ...args]]
}

/** Runs a program to its end and answers what it wrote to stdout. */
export function run(command: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const [wrapper, wrapped] = endingWithParent(command, args)
  return new Promise((resolve, reject) => {
    const settings = { ...options, timeout: options.timeoutMs ?? 0, maxBuffer: OUTPUT_MAX_BYTES }
    const child = execFile(wrapper, wrapped, settings, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(explain(command, args, error, `${stdout}\n${stderr}`))
    })
    // A program that ends early does not read it all; how it ended says why.
    child.stdin?.on('error', () => {})
    child.stdin?.end(options.input)
  })
}

function explain(
  command: string,
  args: readonly string[],
  error: Error & { code?: unknown },
  output: string,
): Error {
  if (error.code === 'ENOENT')
    return new Unavailable('needs setpriv (package util-linux), which is missing here')
  // setpriv answers 127 for a program that it cannot find.
  if (error.code === 127) return new Unavailable(`needs ${command}, which is missing here`)
  return new Unavailable(`\`${command} ${args.join(' ')}\` failed: ${essence(output)}`, { cause: error })
}

/** What went wrong stands first among the lines that say error, if there are any, and last otherwise. */
function essence(output: string): string {
  const lines = stripVTControlCharacters(output).trim().split('\n')
  const errors = lines.filter((line) => /error|^E: /i.test(line)).slice(0, ERROR_LINES_MAX)
  return (errors.length > 0 ? errors : lines.slice(-ERROR_LINES_MAX)).join(' | ')
}
