// The entry of every `npm run` script: set up what is missing, then run the task under Node 24.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Failure } from './failure.mjs'
import { nodeBinary, setUp } from './setup.mjs'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))

// What a shell answers for a child that a signal ended: 128 + the signal's number.
const SIGNAL_BASE = 128

/** Where each task starts; the arguments after the task's name are handed to it. */
const TASKS = {
  start: ['examples/demo/main.ts'],
  test: ['scripts/test.mjs'],
  check: ['scripts/test.mjs', '--static'],
  bench: ['test/bench/main.ts'],
  simulate: ['test/simulation/main.ts'],
  services: ['test/services/main.ts'],
  build: ['scripts/build.mjs'],
  docs: ['site/main.ts'],
  vitest: ['node_modules/vitest/vitest.mjs', 'run'],
  format: ['node_modules/oxfmt/bin/oxfmt', '.'],
  lint: ['node_modules/oxlint/bin/oxlint', '--deny-warnings'],
  types: ['node_modules/typescript/bin/tsc', '--project', 'tsconfig.json'],
}

async function main([name, ...args]) {
  const task = TASKS[name]
  if (task === undefined) {
    const names = Object.keys(TASKS).join(', ')
    throw new Failure({ step: `task ${name}`, why: 'there is no such task', remedy: `use one of: ${names}` })
  }
  await setUp(ROOT)
  const [script, ...fixed] = task
  if (!existsSync(join(ROOT, script))) {
    throw new Failure({ step: name, why: `${script} is missing`, remedy: 'see that the clone is complete' })
  }
  return runTask([script, ...fixed, ...args])
}

// kafkajs waits for a negative time, of which Node.js warns whoever runs the demo on Kafka.
const NODE_OPTIONS = ['--conditions=@oncemq/source', '--disable-warning=TimeoutNegativeWarning']

function runTask(args) {
  const child = spawn(nodeBinary(ROOT), [...NODE_OPTIONS, ...args], {
    cwd: ROOT,
    stdio: 'inherit',
  })
  // On a terminal Ctrl-C reaches the child by itself; a second signal would cut its clean end short.
  process.on('SIGINT', () => process.stdin.isTTY || child.kill('SIGINT'))
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code, signal) => resolve(code ?? SIGNAL_BASE + (constants.signals[signal] ?? 0)))
  })
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof Failure)) throw error
  error.print()
  process.exitCode = error.exitCode
}
