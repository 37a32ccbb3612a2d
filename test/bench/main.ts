import { cpus } from 'node:os'
import { handWritten } from './by-hand/index.ts'
import { benchByHand } from './by-hand/suite.ts'
import { benchConsumers } from './consumer-suite.ts'
import { benchFilled } from './filled-suite.ts'
import { heading, writeRows } from './report.ts'
import type { Row } from './report.ts'
import { settingsOf, usage } from './settings.ts'
import type { Settings } from './settings.ts'
import { benchStore } from './store-suite.ts'
import { benchWays } from './ways-suite.ts'
import { benchStores } from './stores/index.ts'

/**
 * Speed, as ratios within interleaved runs on one machine. The figures of two machines, or of two days, say
 * nothing about each other.
 */
async function main(): Promise<void> {
  const settings = readSettings()
  if (settings === undefined) return
  const { stores, suites, brokers, json } = settings
  const chosen = benchStores.filter(({ name }) => stores.length === 0 || stores.includes(name))
  console.log(`Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? 'unknown processor'}`)
  const rows: Row[] = []
  if (suites.includes('store')) {
    console.log(`\nA store alone: claim and completion of each message\n${heading}`)
    for (const store of chosen) rows.push(...(await benchStore(store, settings)))
  }
  if (suites.includes('filled')) {
    console.log(`\nA store that holds ${settings.keys} keys against an empty one\n${heading}`)
    for (const store of chosen) rows.push(...(await benchFilled(store, settings)))
  }
  if (suites.includes('consumer') && brokers.includes('rabbitmq')) {
    console.log(`\nThe whole consumer on RabbitMQ, with a handler that does nothing\n${heading}`)
    rows.push(...(await benchConsumers(chosen, settings)))
  }
  if (suites.includes('consumer') && brokers.includes('rocketmq')) {
    console.log(`\nThe whole consumer on RocketMQ, with a handler that does nothing\n${heading}`)
    // Loaded where it is needed: each PushConsumer of its client opens a log in the home folder.
    const { benchRocketmq } = await import('./rocketmq-suite.ts')
    rows.push(...(await benchRocketmq(chosen.filter(isOnRocketmq), settings)))
  }
  if (suites.includes('ways')) {
    console.log(`\nThe ways to be idempotent, with a handler that writes a row\n${heading}`)
    rows.push(...(await benchWays(settings)))
  }
  if (suites.includes('logs')) {
    console.log(`\nA record for each message, or a row for each partition\n${heading}`)
    const { benchLogs } = await import('./logs-suite.ts')
    rows.push(...(await benchLogs(settings)))
  }
  if (suites.includes('by-hand') || suites.includes('peers')) {
    const { delayMs } = settings
    console.log(`\nAgainst what people write by hand, ${delayMs} ms away each way\n${heading}`)
    const subjects = handWritten.filter(({ name }) => stores.length === 0 || stores.includes(name))
    for (const subject of subjects) rows.push(...(await benchByHand(subject, settings)))
  }
  if (json !== undefined) await writeRows(json, rows)
}

/** One in the process and one that many machines share: the adapter costs the same on any other. */
function isOnRocketmq({ name }: { readonly name: string }): boolean {
  return name === 'memory' || name === 'mongodb'
}

function readSettings(): Settings | undefined {
  try {
    const settings = settingsOf(
      process.argv.slice(2),
      benchStores.map(({ name }) => name),
    )
    if (settings !== 'help') return settings
    console.log(usage)
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`)
    process.exitCode = 2
  }
  return undefined
}

await main()
