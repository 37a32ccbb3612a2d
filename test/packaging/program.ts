import { spawn } from 'node:child_process'

export interface Finished {
  readonly code: number
  readonly output: string
}

/** Runs a program to its end and gathers both of its outputs, in the order in which they came. */
export function runProgram(command: string, args: readonly string[], cwd: string): Promise<Finished> {
  // What is checked must see neither the sources nor the drivers of this process.
  const { NODE_OPTIONS: _options, NODE_PATH: _path, ...env } = process.env
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
