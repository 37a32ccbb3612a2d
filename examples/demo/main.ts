// `npm start`: a payment service through the three causes of duplicate messages, without and with oncemq.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { Stage } from './act.ts'
import { play } from './act.ts'
import { HELP, readArguments } from './arguments.ts'
import { causes } from './causes.ts'
import { Failure } from './failure.ts'
import { openBroker } from './open-broker.ts'
import type { Scenario } from './scenario.ts'
import { scenariosAsJson } from './scenario.ts'
import { Screen } from './screen.ts'

const INTERRUPTED_EXIT_CODE = 130

async function main(args: readonly string[], signal: AbortSignal): Promise<void> {
  const { broker: wanted, json, help } = readArguments(args)
  if (help) return console.log(HELP)
  const screen = new Screen(json ? undefined : process.stdout)
  const broker = await openBroker(wanted, (message) => console.error(message))
  const folder = mkdtempSync(join(tmpdir(), 'oncemq-demo-'))
  try {
    screen.opening(broker)
    const scenarios = await playAll({ broker, folder, queuePrefix: basename(folder), signal }, screen)
    if (json) console.log(scenariosAsJson(scenarios))
    else screen.closing(scenarios)
  } finally {
    await broker.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function playAll(stage: Stage, screen: Screen): Promise<Scenario[]> {
  const scenarios: Scenario[] = []
  for (const [index, cause] of causes.entries()) {
    await screen.cause(index + 1, cause, stage.broker)
    const without = await play(stage, cause, false)
    await screen.outcome('without oncemq', without)
    const protectedBy = await play(stage, cause, true)
    await screen.outcome('with oncemq', protectedBy, cause.means)
    scenarios.push({ cause, broker: stage.broker.name, without, with: protectedBy })
  }
  return scenarios
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
