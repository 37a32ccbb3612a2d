// `npm start`: a payment service through the three causes of duplicate messages, without and with oncemq;
// with `--ways`, the same orders through five ways to be idempotent.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { Outcome, Stage } from './act.ts'
import { play } from './act.ts'
import { HELP, readArguments } from './arguments.ts'
import type { Cause } from './causes.ts'
import { causes } from './causes.ts'
import { Failure } from './failure.ts'
import { openBroker } from './open-broker.ts'
import type { Scenario } from './scenario.ts'
import { scenariosAsJson } from './scenario.ts'
import { Screen } from './screen.ts'

const INTERRUPTED_EXIT_CODE = 130
const WAYS_MAX_MS = 60_000

async function main(args: readonly string[], signal: AbortSignal): Promise<void> {
  const { broker: wanted, ways, json, help } = readArguments(args)
  if (help) return console.log(HELP)
  const folder = mkdtempSync(join(tmpdir(), 'oncemq-demo-'))
  try {
    if (ways) await showWays(folder, json, signal)
    else await showCauses({ wanted, folder, json, signal })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function showWays(folder: string, json: boolean, signal: AbortSignal): Promise<void> {
  // It brings the clients of all stores and brokers along.
  const { OPENING, playWays, waysAsJson, waysAsText } = await import('./ways/index.ts')
  if (!json) console.log(OPENING)
  const bound = AbortSignal.timeout(WAYS_MAX_MS)
  const either = AbortSignal.any([signal, bound])
  const played = await playWays(folder, basename(folder), either).catch((error: unknown) => {
    if (!bound.aborted) throw error
    const seconds = WAYS_MAX_MS / 1000
    throw new Failure(
      `npm start: expected all ways to end within ${seconds} s, received no end; run it again`,
    )
  })
  console.log(json ? waysAsJson(played) : waysAsText(played))
}

interface Wanted extends Pick<Stage, 'folder' | 'signal'> {
  readonly wanted: string
  readonly json: boolean
}

async function showCauses({ wanted, folder, json, signal }: Wanted): Promise<void> {
  const screen = new Screen(json ? undefined : process.stdout)
  const broker = await openBroker(wanted, (message) => console.error(message))
  try {
    screen.opening(broker)
    const scenarios = await playAll({ broker, folder, queuePrefix: basename(folder), signal }, screen)
    if (json) console.log(scenariosAsJson(scenarios))
    else screen.closing(scenarios)
  } finally {
    await broker.close()
  }
}

async function playAll(stage: Stage, screen: Screen): Promise<Scenario[]> {
  const scenarios: Scenario[] = []
  for (const [index, cause] of causes.entries()) {
    await screen.cause(index + 1, cause, stage.broker)
    const [without, protectedBy] = await playBoth(stage, cause)
    await screen.outcome('without oncemq', without)
    await screen.outcome('with oncemq', protectedBy, cause.means(stage.broker))
    scenarios.push({ cause, broker: stage.broker.name, without, with: protectedBy })
  }
  return scenarios
}

/** Side by side, as a broker may take its time to deliver again. If one fails, the other ends first. */
async function playBoth(stage: Stage, cause: Cause): Promise<[without: Outcome, protectedBy: Outcome]> {
  const acts = [play(stage, cause, false), play(stage, cause, true)] as const
  await Promise.allSettled(acts)
  return Promise.all(acts)
}

const interrupt = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => interrupt.abort(new Failure('interrupted', { exitCode: INTERRUPTED_EXIT_CODE })))
}
try {
  await main(process.argv.slice(2), interrupt.signal)
} catch (error) {
  const failure = interrupt.signal.aborted ? (interrupt.signal.reason as Failure) : error
  if (!(failure instanceof Failure)) throw error
  console.error(failure.message)
  process.exitCode = failure.exitCode
}
