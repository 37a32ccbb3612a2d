import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describeService } from '@oncemq/test-services/vitest'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { median, timed } from './measure.ts'
import { limitOf } from './report.ts'

const run = promisify(execFile)
const main = join(import.meta.dirname, 'main.ts')

function bench(...args: string[]): Promise<{ stdout: string }> {
  return run(process.execPath, ['--conditions=@oncemq/source', main, ...args])
}

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oncemq-bench-test-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function rowsOf(...args: string[]): Promise<Record<string, unknown>[]> {
  const file = join(folder, 'rows.json')
  await bench('--rounds', '1', '--json', file, ...args)
  return JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>[]
}

test('a store alone: naive and batched at each number in flight, with ratios and raw figures', async () => {
  const rows = await rowsOf('--suite', 'store', '--store', 'memory', '--duration-ms', '20')
  expect(rows.map(({ variant, inFlight }) => `${String(variant)} ${String(inFlight)}`)).toEqual(
    [1, 16, 64, 256, 1024].flatMap((inFlight) => [`naive ${inFlight}`, `oncemq ${inFlight}`]),
  )
  expect(Object.keys(rows[0] ?? {})).toEqual([
    'suite',
    'broker',
    'store',
    'inFlight',
    'variant',
    'perSecond',
    'ratioToNaive',
    'ratioToRaw',
    'ratioToEmpty',
    'ratioToByHand',
    'clientCpuMicros',
    'serverCpuMicros',
    'brokerCpuMicros',
    'p50Micros',
    'p50RatioToNaive',
    'p99Micros',
    'p50RatioToByHand',
    'limit',
  ])
  expect(rows.map(({ p50Micros }) => Number(p50Micros) > 0)).toEqual(
    rows.map(({ inFlight }) => inFlight === 1),
  )
  expect(rows.every(({ perSecond }) => Number(perSecond) > 0)).toBe(true)
})

test('a full store stands against an empty one', async () => {
  const rows = await rowsOf('--suite', 'filled', '--store', 'sqlite', '--keys', '2000', '--duration-ms', '20')
  expect(rows.map(({ variant, ratioToEmpty }) => [variant, Number(ratioToEmpty) > 0])).toEqual([
    ['empty', true],
    ['filled', true],
  ])
})

test('each mode stands against what people write by hand, message by message from a socket', async () => {
  const size = ['--store', 'sqlite', '--in-flight', '1', '--in-flight', '3', '--duration-ms', '20']
  const rows = await rowsOf('--suite', 'by-hand', ...size)
  expect(rows.map(({ variant, inFlight }) => `${String(variant)} ${String(inFlight)}`)).toEqual([
    'by-hand 1',
    'lease 1',
    'by-hand 3',
    'lease 3',
    'by-hand-tx 1',
    'transactional 1',
    'batches 1',
    'by-hand-tx 3',
    'transactional 3',
    'batches 3',
  ])
  for (const { ratioToByHand, p50Micros, p99Micros } of rows) {
    expect(Number(ratioToByHand)).toBeGreaterThan(0)
    expect(Number(p99Micros)).toBeGreaterThanOrEqual(Number(p50Micros))
  }
})

test.each([
  ['--delay', '0.5', "--delay: expected a whole number above 0, received '0.5'"],
  ['--rounds', 'many', "--rounds: expected a whole number above 0, received 'many'"],
  ['--store', 'oracle', "received 'oracle'"],
  ['--broker', 'kafka', "--broker: expected one of rabbitmq, rocketmq, received 'kafka'"],
  [
    '--suite',
    'all',
    "--suite: expected one of store, filled, consumer, ways, logs, by-hand, peers, received 'all'",
  ],
])('a wrong argument is told, without a stack trace: %s %s', async (option, value, message) => {
  const failure = await bench(option, value).then(
    () => undefined,
    (error: { code: number; stderr: string }) => error,
  )
  expect(failure?.code).toBe(2)
  expect(failure?.stderr).toContain(message)
  expect(failure?.stderr).not.toContain('    at ')
})

test('the median of an even number of runs lies between the two in the middle', () => {
  expect([median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([2, 2.5])
})

test('the processor time of other processes is measured, with that of their children', async (context) => {
  if (!existsSync('/proc/self/stat')) context.skip('needs /proc')
  const busy = `while (process.cpuUsage().user < 300_000);`
  const parent = `require('child_process').execFileSync(process.execPath, ['-e', ${JSON.stringify(busy)}])`
  const child = spawn(process.execPath, ['-e', `${parent}; setInterval(() => console.log('done'), 20)`])
  const handle = async () => {
    await once(child.stdout, 'data')
    return 1
  }
  const run = await timed(handle, { server: () => [child.pid as number] })
  child.kill()
  expect(run.serverCpuMicros).toBeGreaterThan(100_000)
  expect(run.clientCpuMicros).toBeLessThan(100_000)
  expect(run.brokerCpuMicros).toBe(null)
})

test.each([
  ['client', 9, 9, null],
  ['server', 2, 9, null],
  ['broker', 2, 2, 9],
  ['latency', 2, 2, 2],
  ['latency', 8, null, null],
] as const)('%s is what limits', (limit, clientCpuMicros, serverCpuMicros, brokerCpuMicros) => {
  expect(limitOf(100_000, { clientCpuMicros, serverCpuMicros, brokerCpuMicros })).toBe(limit)
})

describeService('redis-8', () => {
  test('a network in between makes each message take both ways', async () => {
    const size = ['--store', 'redis', '--in-flight', '1', '--duration-ms', '50']
    const rows = await rowsOf('--suite', 'by-hand', '--delay', '2', ...size)
    // Two round trips, each of which passes twice.
    expect(rows.map(({ p50Micros }) => Number(p50Micros) >= 8000)).toEqual([true, true])
  })
})

describeService('rabbitmq-4.0', () => {
  test('the whole consumer leaves nothing in its queue, in each variant', async () => {
    const rows = await rowsOf('--suite', 'consumer', '--store', 'memory', '--messages', '200')
    expect(rows.map(({ variant }) => variant)).toEqual(Array(3).fill(['raw', 'naive', 'oncemq']).flat())
  })
})

describeService('rabbitmq-4.0', () => {
  describeService('postgres-18', () => {
    describeService('redis-8', () => {
      const timeout = 120_000

      test('each way leaves nothing in its queue, with its ratio to raw', { timeout }, async () => {
        const rows = await rowsOf('--suite', 'ways', '--messages', '40')
        const variants = ['raw', 'lease', 'transactional', 'naturalKey', 'stateMachine', 'redis']
        expect(rows.map(({ inFlight, variant }) => [inFlight, variant])).toEqual(
          [8, 64].flatMap((inFlight) => variants.map((variant) => [inFlight, variant])),
        )
        expect(rows.every(({ ratioToRaw }) => Number(ratioToRaw) > 0)).toBe(true)
      })
    })
  })
})

describeService('kafka-4.4', () => {
  describeService('postgres-18', () => {
    test(
      'a row for each partition, with its ratio to a record for each message',
      { timeout: 120_000 },
      async () => {
        const rows = await rowsOf('--suite', 'logs', '--messages', '40', '--rounds', '1')
        expect(rows.map(({ variant }) => variant)).toEqual(['naive', 'watermark', 'watermark, record'])
        expect(rows.every(({ ratioToNaive }) => Number(ratioToNaive) > 0)).toBe(true)
      },
    )
  })
})

describeService('rocketmq-fast', () => {
  const timeout = 180_000

  test('the whole consumer on RocketMQ in both forms, each with its ratio to raw', { timeout }, async () => {
    const size = ['--store', 'memory', '--messages', '200']
    const rows = await rowsOf('--suite', 'consumer', '--broker', 'rocketmq', ...size)
    expect(rows.map(({ broker, inFlight, variant }) => [broker, inFlight, variant])).toEqual(
      [
        ['rocketmq-simple', 128],
        ['rocketmq-simple', 512],
        ['rocketmq-push', 1024],
      ].flatMap((form) => [
        [...form, 'raw'],
        [...form, 'oncemq'],
      ]),
    )
    expect(rows.every(({ ratioToRaw }) => Number(ratioToRaw) > 0)).toBe(true)
  })
})
