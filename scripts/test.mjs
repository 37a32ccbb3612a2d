// `npm test`: cheap checks first, then every suite, then what would be published. A failing step does not
// stop the next one: one run tells all that is wrong.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { closingLines, emptyTally, sum } from './closing.mjs'

const STRUCTURE = ['test/tidy', 'test/architecture']
const PACKAGING = 'test/packaging'
const [OXFMT, OXLINT, TSC, VITEST] = [
  'node_modules/oxfmt/bin/oxfmt',
  'node_modules/oxlint/bin/oxlint',
  'node_modules/typescript/bin/tsc',
  'node_modules/vitest/vitest.mjs',
]
// Colours only on a terminal, whatever the tools think of a pipe.
const COLOURS = process.stdout.isTTY || process.env.FORCE_COLOR !== undefined ? {} : { NO_COLOR: '1' }

const STATIC_STEPS = [
  { name: 'format', args: [OXFMT, '--check', '.'], remedy: 'npm run format' },
  { name: 'lint', args: [OXLINT, '--deny-warnings'] },
  { name: 'types', args: [TSC, '--project', 'tsconfig.json'] },
  { name: 'structure', args: [VITEST, 'run', ...STRUCTURE] },
]
const SUITE_STEPS = [
  {
    name: 'tests',
    args: [VITEST, 'run', ...[...STRUCTURE, PACKAGING].map((path) => `--exclude=${path}/**`)],
  },
  { name: 'packaging', args: [VITEST, 'run', PACKAGING] },
]

function stepsFor(args) {
  if (args.length === 0) return [...STATIC_STEPS, ...SUITE_STEPS]
  if (args[0] === '--static') return STATIC_STEPS
  return [{ name: 'tests', args: [VITEST, 'run', ...args] }]
}

async function runStep(step, folder) {
  const started = performance.now()
  const tallyFile = join(folder, `${step.name}.json`)
  const isSuite = step.args[0] === VITEST
  console.log(`\n== ${step.name}`)
  const { code, output } = await run(step.args, { isSuite, tallyFile })
  if (code !== 0 && !isSuite) {
    console.log(output.trimEnd())
    if (step.remedy !== undefined) console.log(`what to do: ${step.remedy}`)
  }
  const tally = isSuite ? readTally(tallyFile) : { ...emptyTally(), [code === 0 ? 'passed' : 'failed']: 1 }
  if (code !== 0) tally.failed = Math.max(1, tally.failed)
  return { name: step.name, ok: code === 0, seconds: (performance.now() - started) / 1000, tally }
}

function run(args, { isSuite, tallyFile }) {
  const child = spawn(process.execPath, args, {
    stdio: isSuite ? 'inherit' : ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...COLOURS, ...(isSuite ? { ONCEMQ_TALLY: tallyFile } : {}) },
  })
  return new Promise((resolve, reject) => {
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (chunk) => {
        output += chunk
      })
    }
    child.on('error', reject)
    child.on('close', (code) => resolve({ code: code ?? 1, output }))
  })
}

function readTally(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return emptyTally() // vitest ended before it could count; its exit code says so.
  }
}

function printSummary(results) {
  console.log('\n== summary')
  for (const { name, ok, seconds, tally } of results) {
    const counts = tally.passed + tally.failed > 1 ? `${tally.passed} passed, ${tally.failed} failed` : ''
    const columns = [ok ? 'ok    ' : 'FAILED', name.padEnd(10), `${seconds.toFixed(1).padStart(6)} s`, counts]
    console.log(columns.join(' ').trimEnd())
  }
  console.log(closingLines(sum(results.map(({ tally }) => tally))).join('\n'))
}

const folder = mkdtempSync(join(tmpdir(), 'oncemq-test-'))
const results = []
try {
  for (const step of stepsFor(process.argv.slice(2))) results.push(await runStep(step, folder))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
printSummary(results)
process.exitCode = results.every(({ ok }) => ok) ? 0 : 1
