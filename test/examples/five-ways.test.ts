// Five ways, one outcome: each order is charged once, whatever comes twice and whoever is killed.
import { expect, onTestFinished, test } from 'vitest'
import { describeService } from '../services/client/describe-service.ts'
import { declareRocketmq, removeRocketmq } from '../services/servers/rocketmq/declare.ts'
import { EXAMPLES, ownDatabase, runExample } from './run-example.ts'

const TEST_MS = 180_000
const TOPIC = `five-ways-${process.pid}`

test('a way that it does not know is told', async () => {
  const { code, stderr } = await runExample('five-ways', { args: ['--way', 'hope'] })
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: '--way: expected some of dedup-table, business-key, redis, state-machine, rocketmq-keys\n',
  })
})

describeService('rabbitmq-4.0', (rabbitmq) => {
  describeService('postgres-18', (postgres) => {
    // Otherwise a warning says that a crash of the server may forget what was done.
    describeService('redis-8', { args: ['--appendfsync', 'always'] }, (redis) => {
      describeService('rocketmq-fast', (rocketmq) => {
        test('each order is charged once, in each way', { timeout: TEST_MS }, async () => {
          const topics = [{ name: TOPIC, type: 'NORMAL' as const, queues: 1 }]
          await declareRocketmq(rocketmq.url, { topics, groups: [{ name: TOPIC }] })
          onTestFinished(() => removeRocketmq(rocketmq.url, { topics: [TOPIC], groups: [TOPIC] }))
          const env = {
            ONCEMQ_RABBITMQ_URL: rabbitmq.url,
            ONCEMQ_POSTGRES_URL: await ownDatabase(postgres),
            ONCEMQ_REDIS_URL: redis.url,
            ONCEMQ_ROCKETMQ_URL: rocketmq.url,
            ONCEMQ_TOPIC: TOPIC,
            ONCEMQ_GROUP: TOPIC,
          }
          const { code, stdout, stderr } = await runExample('five-ways', { env })
          await expect(stdout, stderr).toMatchFileSnapshot(`${EXAMPLES}/five-ways/output.txt`)
          expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
        })
      })
    })
  })
})
