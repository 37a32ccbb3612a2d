// Every example runs, and prints what stands beside it: `npm run vitest -- test/examples -u` writes it anew.
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { describeService } from '../services/client/describe-service.ts'
import { declareKafka } from '../services/servers/kafka-topics.ts'
import { declareRocketmq } from '../services/servers/rocketmq/declare.ts'
import { runProgram } from '../packaging/program.ts'
import { EXAMPLES, ownDatabase, runExample } from './run-example.ts'

const ON_RABBITMQ = ['rabbitmq-drop-in', 'rabbitmq-managed-sqlite-transactional', 'rabbitmq-stream-watermark']
const ON_ROCKETMQ = {
  'rocketmq-push': 'NORMAL',
  'rocketmq-simple': 'NORMAL',
  'rocketmq-transactions': 'TRANSACTION',
} as const
const ON_KAFKA = ['kafka-drop-in', 'kafka-exactly-once', 'kafka-managed-sqlite-transactional']
const ON_KAFKA_AND_POSTGRES = ['kafka-watermark-postgres']
/** Has decorators, so that it is compiled before it runs. */
const COMPILED = 'nestjs'
const ALONE = ['webhook-run']
const TSC = fileURLToPath(new URL('../../node_modules/typescript/bin/tsc', import.meta.url))
// They have tests of their own.
const ELSEWHERE = ['demo', 'five-ways', 'money-transfers', 'order-service']

async function expectOutput(name: string, env?: Record<string, string>, main?: string): Promise<void> {
  const { code, stdout, stderr } = await runExample(name, { ...(env && { env }), ...(main && { main }) })
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  await expect(stdout).toMatchFileSnapshot(`${EXAMPLES}/${name}/output.txt`)
}

test('each example is run here', () => {
  const names = readdirSync(EXAMPLES, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  expect(names.map(({ name }) => name).toSorted()).toEqual(
    [
      COMPILED,
      ...ON_RABBITMQ,
      ...Object.keys(ON_ROCKETMQ),
      ...ON_KAFKA,
      ...ON_KAFKA_AND_POSTGRES,
      ...ALONE,
      ...ELSEWHERE,
    ].toSorted(),
  )
})

test.each(ALONE)('%s', async (name) => expectOutput(name))

describeService('rabbitmq-4.0', (server) => {
  test.each(ON_RABBITMQ)('%s', async (name) => expectOutput(name, { ONCEMQ_RABBITMQ_URL: server.url }))

  test(COMPILED, async () => {
    const folder = `${EXAMPLES}/${COMPILED}`
    const { code, output } = await runProgram(
      process.execPath,
      [TSC, '--project', 'tsconfig.build.json'],
      folder,
    )
    expect(code, output).toBe(0)
    await expectOutput(COMPILED, { ONCEMQ_RABBITMQ_URL: server.url }, 'dist/main.js')
  })
})

describeService('rocketmq-fast', ({ url }) => {
  test.each(Object.entries(ON_ROCKETMQ))('%s', async (name, type) => {
    const topic = `${name}-${process.pid}`
    await declareRocketmq(url, { topics: [{ name: topic, type }], groups: [{ name: topic }] })
    const env = { ONCEMQ_ROCKETMQ_URL: url, ONCEMQ_TOPIC: topic, ONCEMQ_GROUP: topic }
    await expectOutput(name, env)
  })
})

async function expectOnKafka(name: string, url: string, env: Record<string, string> = {}): Promise<void> {
  const topic = `${name}-${process.pid}`
  await declareKafka(url, [{ name: topic }, { name: `${topic}.parked` }])
  // kafkajs 2.2.4 asks for a timer in the past, which Node 24 tells.
  const NODE_OPTIONS = '--disable-warning=TimeoutNegativeWarning'
  await expectOutput(name, { ONCEMQ_KAFKA_URL: url, ONCEMQ_TOPIC: topic, NODE_OPTIONS, ...env })
}

describeService('kafka-4.4', ({ url }) => {
  test.each(ON_KAFKA)('%s', async (name) => expectOnKafka(name, url))

  describeService('postgres-18', (postgres) => {
    test.each(ON_KAFKA_AND_POSTGRES)('%s', async (name) =>
      expectOnKafka(name, url, { ONCEMQ_POSTGRES_URL: await ownDatabase(postgres) }),
    )
  })
})
