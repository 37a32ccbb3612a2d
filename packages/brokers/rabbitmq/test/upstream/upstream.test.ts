// amqplib's own tests, as its package has them, on channels as they are and on wrapped ones: the same pass.
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describeService } from '@oncemq/test-services/vitest'
import { describe, expect, test } from 'vitest'
import { type Channels, CONFIG_VARIABLE, type UpstreamConfig, type UpstreamResult } from './config.ts'

const PRELOAD = new URL('preload.ts', import.meta.url).href
const REPORTER = new URL('reporter.ts', import.meta.url).href
/** A machine that does much else needs more than the second that the suite takes by default. */
const ONE_TEST_MS = 20_000
const TEST_MS = 120_000

const load = createRequire(import.meta.url)

/** The last versions whose packages have their tests with them. */
const suites = [
  ['amqplib-2-2', 'channel_api.test.js', 35],
  ['amqplib-2-2', 'callback_api.test.js', 28],
  ['amqplib-2-2', 'recovery.test.js', 24],
  ['amqplib-0-10', 'channel_api.js', 33],
  ['amqplib-0-10', 'callback_api.js', 29],
] as const

async function run(file: string, config: UpstreamConfig): Promise<UpstreamResult[]> {
  const args = ['--conditions=@oncemq/source', '--no-warnings', '--import', PRELOAD]
  const reporting = ['--test-reporter', REPORTER, `--test-timeout=${ONE_TEST_MS}`, '--test-force-exit']
  const child = spawn(process.execPath, [...args, ...reporting, file], {
    env: { ...process.env, URL: config.url, [CONFIG_VARIABLE]: JSON.stringify(config) },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const output = await text(child.stdout)
  return output
    .split('\n')
    .filter((line) => line.startsWith('{"name"'))
    .map((line) => JSON.parse(line) as UpstreamResult)
}

describeService('rabbitmq-4.0', ({ url }) => {
  describe.each(suites)('%s: %s', (library, name, count) => {
    const entry = load.resolve(library)
    const file = join(dirname(entry), 'test', name)
    const on = (channels: Channels): Promise<UpstreamResult[]> => run(file, { entry, url, channels })

    test('passes alike', { timeout: TEST_MS }, async () => {
      const bare = await on('bare')
      expect(bare.filter(({ passed }) => passed)).toHaveLength(count)
      expect(await on('wrapped')).toEqual(bare)
      expect(await on('wrapped, keyed')).toEqual(bare)
    })
  })
})
