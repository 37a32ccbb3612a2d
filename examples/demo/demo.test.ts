import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { describeService } from '@oncemq/test-services/vitest'

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url))
/** As `npm start` has them. */
const NODE_OPTIONS = ['--conditions=@oncemq/source', '--disable-warning=TimeoutNegativeWarning']
const REAL_TIMEOUT_MS = 240_000

interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const folder = mkdtempSync(join(tmpdir(), 'oncemq-demo-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Runs the demo to its end, or to a signal that is sent when it begins to print. */
function demo(args: readonly string[] = [], signal?: NodeJS.Signals): Promise<Finished> {
  // Whatever the terminal of these tests likes: a pipe gets no colours by itself.
  const { FORCE_COLOR: _, NO_COLOR: __, ...rest } = process.env
  const child = spawn(process.execPath, [...NODE_OPTIONS, MAIN, ...args], {
    env: { ...rest, TMPDIR: folder },
    stdio: 'pipe',
  })
  if (signal !== undefined) child.stdout.once('data', () => child.kill(signal))
  return new Promise((resolve, reject) => {
    let [stdout, stderr] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk))
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

function figures(broker: string) {
  const row = { broker, store: 'sqlite', events: 5, deliveries: 10, chargesWithout: 10, chargesWith: 5 }
  return { scenarios: ['producer-resend', 'consumer-crash', 'lost-ack'].map((name) => ({ name, ...row })) }
}

describe('embedded', () => {
  test('shows the three causes', async () => {
    const { code, stdout, stderr } = await demo()
    expect(stderr).toBe('')
    expect(code).toBe(0)
    await expect(stdout).toMatchFileSnapshot('output.txt')
  })

  test('prints JSON alone', async () => {
    const { code, stdout, stderr } = await demo(['--json'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(JSON.parse(stdout)).toEqual(figures('embedded'))
  })

  test.each(['SIGINT', 'SIGTERM'] as const)('ends by %s in good order', async (signal) => {
    const { code, stderr } = await demo([], signal)
    expect({ code, stderr }).toEqual({ code: 130, stderr: 'interrupted\n' })
  })

  test('leaves nothing behind', async () => {
    await demo(['--json'])
    expect(readdirSync(folder)).toEqual([])
  })
})

describe('the five ways', () => {
  const cost = (name: string, statementsForNew: number, statementsForCopy: number) => {
    const figures = { events: 12, deliveries: 26, effects: 12, lost: 0, twice: 0 }
    return { name, broker: 'embedded', ...figures, statementsForNew, statementsForCopy }
  }

  test('are shown side by side', async () => {
    const { code, stdout, stderr } = await demo(['--ways'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    await expect(stdout).toMatchFileSnapshot('ways/output.txt')
  })

  test('end by SIGTERM in good order', async () => {
    const { code, stderr } = await demo(['--ways'], 'SIGTERM')
    expect({ code, stderr }).toEqual({ code: 130, stderr: 'interrupted\n' })
    expect(readdirSync(folder)).toEqual([])
  })

  test('print JSON alone', async () => {
    const { code, stdout, stderr } = await demo(['--ways', '--json'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(JSON.parse(stdout)).toEqual({
      ways: [
        cost('dedup-table', 14, 7),
        cost('business-key', 6, 6),
        cost('redis', 2, 1),
        cost('state-machine', 6, 6),
        { name: 'rocketmq-keys', skipped: 'needs a server' },
      ],
    })
    expect(readdirSync(folder)).toEqual([])
  })
})

describeService('rabbitmq-4.0', (server) => {
  test(
    'runs the same on a broker that is named',
    async () => {
      const { code, stdout, stderr } = await demo(['--broker', server.url, '--json'])
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(JSON.parse(stdout)).toEqual(figures('rabbitmq'))
    },
    REAL_TIMEOUT_MS,
  )

  test(
    'starts a broker by itself',
    async () => {
      const { code, stdout, stderr } = await demo(['--real'])
      expect(stderr).toMatch(/^starting rabbitmq/)
      expect(code).toBe(0)
      expect(stdout).toContain('killed with -9')
      expect(stdout.match(/10 -> 5 +195\.40 EUR -> 0\.00 EUR/g)).toHaveLength(3)
    },
    REAL_TIMEOUT_MS,
  )

  test('says when it is not let in, without the password', async () => {
    const url = new URL(server.url)
    Object.assign(url, { username: 'nobody', password: 'secret' })
    const { code, stdout, stderr } = await demo(['--broker', url.href])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain(`expected a RabbitMQ that lets us in at ${url.host}, received`)
    expect(stderr).not.toContain('secret')
    expect(stderr).not.toContain('    at ')
  })
})

describeService('rocketmq-fast', (server) => {
  test.concurrent(
    'runs the same on a broker that is named',
    async ({ expect }) => {
      const { code, stdout, stderr } = await demo(['--broker', server.url, '--json'])
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(JSON.parse(stdout)).toEqual(figures('rocketmq'))
    },
    REAL_TIMEOUT_MS,
  )

  test.concurrent(
    'starts a broker by itself, and says what is wrapped there',
    async ({ expect }) => {
      const { code, stdout, stderr } = await demo(['--broker', 'rocketmq'])
      expect(stderr).toMatch(/^starting rocketmq-fast/)
      expect(code).toBe(0)
      expect(stdout).toContain('killed with -9')
      expect(stdout).toContain('dedupSimpleConsumer around the consumer')
      expect(stdout).not.toContain('dedupChannel')
      expect(stdout.match(/10 -> 5 +195\.40 EUR -> 0\.00 EUR/g)).toHaveLength(3)
    },
    REAL_TIMEOUT_MS,
  )
})

describeService('kafka-4.4', (server) => {
  test(
    'runs the same on a broker that is named',
    async () => {
      const { code, stdout, stderr } = await demo(['--broker', server.url, '--json'])
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(JSON.parse(stdout)).toEqual(figures('kafka'))
    },
    REAL_TIMEOUT_MS,
  )
})

test('an unreachable Kafka ends it with 1 and a sentence', { timeout: 30_000 }, async () => {
  const { code, stdout, stderr } = await demo(['--broker', 'kafka://127.0.0.1:1'])
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toMatch(/^--broker: expected a Kafka at 127\.0\.0\.1:1, received .*; see that it runs/)
  expect(stderr.trim().split('\n')).toHaveLength(1)
})

test('an unreachable RocketMQ ends it with 1 and a sentence', async () => {
  const { code, stdout, stderr } = await demo(['--broker', 'rocketmq://127.0.0.1:1/?broker=127.0.0.1:1'])
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toMatch(
    /^--broker: expected a RocketMQ at 127\.0\.0\.1:1 .*, received ECONNREFUSED; see that/,
  )
  expect(stderr.trim().split('\n')).toHaveLength(1)
})

test('an unreachable broker ends it with 1 and a sentence', async () => {
  const { code, stdout, stderr } = await demo(['--broker', 'amqp://user:secret@127.0.0.1:1'])
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toMatch(
    /^--broker: expected a RabbitMQ .* at 127\.0\.0\.1:1, received ECONNREFUSED; see that/,
  )
  expect(stderr).not.toContain('secret')
  expect(stderr.trim().split('\n')).toHaveLength(1)
})

test.each([
  [['--jsno'], "unknown option '--jsno'"],
  [['five'], "unexpected argument 'five'"],
  [['--broker'], "option '--broker <value>' argument missing"],
  [['--broker', 'localhost'], 'received no URL'],
  [['--broker', 'http://127.0.0.1'], 'received a URL that begins with http:'],
  [['--broker', 'rocketmq://127.0.0.1:8081'], 'received a URL without ?broker='],
  [['--real', '--broker', 'amqp://127.0.0.1'], 'expected either --broker or --real, received both'],
  [['--ways', '--real'], 'expected --ways without a broker, received both'],
])('%j ends it with 2 and a sentence', async (args, sentence) => {
  const { code, stdout, stderr } = await demo(args)
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  expect(stderr).toContain(sentence)
  expect(stderr).toContain('see npm start -- --help')
  expect(stderr.trim().split('\n')).toHaveLength(1)
})

test('--help tells every option', async () => {
  const { code, stdout } = await demo(['--help'])
  expect(code).toBe(0)
  for (const option of [
    '--real',
    '--broker rocketmq',
    '--broker kafka',
    '--broker <url>',
    '--ways',
    '--json',
    '--help',
  ])
    expect(stdout).toContain(option)
})
