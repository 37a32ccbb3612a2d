import { spawn } from 'node:child_process'

export interface Finished {
  readonly code: number
  readonly output: string
}

/** Runs a program to its end and gathers both of its outputs, in the order in which they came. */
export function runProgram(command: string, args: readonly string[], cwd: string): Promise<Finished> {
  // Without NODE_OPTIONS of this process: what is checked must not see the sources.
  const { NODE_OPTIONS: _, ...env } = process.env
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
  return new Promise((resolve, reject) => {
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        output += chunk
      })
    }
    child.on('error', reject)
    child.on('close', (code) => resolve({ code: code ?? 1, output }))
  })
}
