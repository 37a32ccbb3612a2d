// `npm run simulate -- --seeds 20000`: that many schedules, from `--first` on. A seed that fails is printed
// with its plan and the end of its history; the run goes on, and ends with 1.
import { parseArgs } from 'node:util'
import { simulate } from './run.ts'

const HISTORY_MAX = 200
const TOLD_EVERY_MS = 10_000

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    first: { type: 'string', default: '1' },
    history: { type: 'string', default: String(HISTORY_MAX) },
  },
})
const [seeds, first, historyMax] = [Number(values.seeds), Number(values.first), Number(values.history)]
if (![seeds, first, historyMax].every((value) => Number.isSafeInteger(value) && value >= 0)) {
  console.error('simulate: expected whole numbers for --seeds, --first and --history')
  process.exit(2)
}

const rejections: unknown[] = []
process.on('unhandledRejection', (reason) => rejections.push(reason))
const startedMs = performance.now()
let toldMs = startedMs
const failed: number[] = []
for (let seed = first; seed < first + seeds; seed += 1) {
  const { plan, violations, history } = await simulate(seed)
  if (violations.length > 0 || rejections.length > 0) {
    failed.push(seed)
    const all = [
      ...violations,
      ...rejections.splice(0).map((reason) => `no-unhandled-rejection: ${String(reason)}`),
    ]
    console.log(`seed ${seed} fails: ${all.join('; ')}`)
    if (historyMax > 0) console.log(`${JSON.stringify(plan)}\n${history.slice(-historyMax).join('\n')}`)
  }
  if (performance.now() - toldMs > TOLD_EVERY_MS) tell(seed)
}
tell(first + seeds - 1)
if (failed.length > 0) console.log(`failed: ${failed.join(' ')}`)
process.exitCode = failed.length > 0 ? 1 : 0

function tell(seed: number): void {
  toldMs = performance.now()
  const done = seed - first + 1
  const seconds = (toldMs - startedMs) / 1000
  console.log(`${done} of ${seeds} seeds, ${(done / seconds).toFixed(1)} a second, ${failed.length} failed`)
}
