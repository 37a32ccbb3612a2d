import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

export interface Run {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** What the stand-in for npm does when it is asked to install: JavaScript, run in the clone's root. */
export type Install = string

/** Puts in place what pnpm would: a Node.js that runs, here the one that runs the tests. */
export const INSTALLS: Install = `
  fs.mkdirSync('node_modules/node/bin', { recursive: true })
  fs.rmSync('node_modules/node/bin/node', { force: true })
  fs.symlinkSync(process.execPath, 'node_modules/node/bin/node')
`

/**
 * A clone with the real scripts and a demo that prints its arguments. npm is a stand-in, since how the set-up
 * treats it is what is tested, failures above all, and those cannot be had from the real one at will.
 */
export class Clone implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'oncemq-clone-'))

  constructor(install: Install) {
    cpSync(join(ROOT, 'scripts'), join(this.folder, 'scripts'), { recursive: true })
    this.write('package.json', JSON.stringify({ packageManager: 'pnpm@10.0.0' }))
    this.write(
      'examples/demo/main.ts',
      'console.log(JSON.stringify(process.argv.slice(2)))\nprocess.exit(7)\n',
    )
    this.write('npm/npm-cli.js', standIn(install))
  }

  write(path: string, text: string): void {
    mkdirSync(join(this.folder, path, '..'), { recursive: true })
    writeFileSync(join(this.folder, path), text)
  }

  /** What npm was asked for, in order: `--version` to fetch pnpm, then `install`. */
  calls(): string[] {
    return readFileSync(join(this.folder, 'calls'), 'utf8').trimEnd().split('\n')
  }

  run(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Run> {
    const child = spawn(process.execPath, ['scripts/run.mjs', ...args], {
      cwd: this.folder,
      env: { ...process.env, npm_execpath: join(this.folder, 'npm/npm-cli.js'), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    return new Promise((resolve, reject) => {
      const [stdout, stderr] = [child.stdout, child.stderr].map((stream) => {
        const chunks: string[] = []
        stream.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk))
        return chunks
      }) as [string[], string[]]
      child.on('error', reject)
      child.on('close', (code) => resolve({ code, stdout: stdout.join(''), stderr: stderr.join('') }))
    })
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

// Called as npm is: `exec --yes -- pnpm@10.0.0 <command> ...`.
function standIn(install: Install): string {
  return `
    const fs = require('node:fs')
    const command = process.argv[6]
    fs.appendFileSync('calls', command + '\\n')
    if (command === 'install') { ${install} }
  `
}
