// Claims that the store has applied and whose answers are lost: no handler was started, so none is counted.
import { randomInt } from 'node:crypto'
import { createDeduplicator } from '@oncemq/core'
import { consume } from '@oncemq/rabbitmq'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import { connect } from 'amqplib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Queue } from './queue.ts'
import { stores } from './stores.ts'
import { until } from './until.ts'

const ROUNDS = 3
const IDS = ['a', 'b', 'c', 'd']
const TEST_MS = 120_000

const cases = { postgres: 'postgres-18', redis: 'redis-8', mysql: 'mysql-8.0' } as const

describe.each(Object.entries(cases))('%s', (store, service) => {
  describeService(service, ({ url: storeUrl }) => {
    describeService('rabbitmq-4.0', ({ url }) => {
      test('all run as a first attempt', { timeout: TEST_MS }, async () => {
        const queue = await Queue.open(url, `lost-answers-${randomInt(2 ** 31)}`)
        const proxy = await FaultProxy.open(storeUrl)
        const connection = await connect(url)
        const dedup = createDeduplicator({
          store: stores[store as keyof typeof cases](proxy.url),
          consumerGroup: queue.name,
          attemptsMax: 1,
          leaseMs: 4000,
          outageHoldMs: 500,
          sweepEveryMs: 0,
        })
        const attempts: number[] = []
        const done: string[] = []
        let outages = 0
        dedup.on('outage', () => (outages += 1))
        const consumer = await consume({
          connection,
          queue: queue.name,
          dedup,
          // What it holds goes back after half of it: another claim is asked for each time.
          ackTimeoutMs: 1000,
          handler({ content }, { attempt }) {
            attempts.push(attempt)
            done.push(content.toString())
          },
        })
        onTestFinished(async () => {
          await consumer.close({ timeoutMs: 100 })
          await dedup.close({ timeoutMs: 100 })
          await connection.close()
          await proxy.close()
          await queue.close()
        })
        await queue.sendTwice(['warm'])
        await until('the first one', () => done.length === 1)
        for (let round = 0; round < ROUNDS; round += 1) {
          const before = proxy.swallowed
          const known = outages
          proxy.swallowReplies()
          await queue.sendTwice(IDS.map((id) => `${id}${round}`))
          await until('claims whose answers are lost', () => proxy.swallowed > before && outages > known)
          await until('what is given back', async () => (await queue.left()) > 0)
          proxy.resume()
          await until('all of the round', () => done.length === 1 + IDS.length * (round + 1))
        }
        await until('an empty queue', async () => (await queue.left()) === 0)
        expect(attempts.filter((attempt) => attempt !== 1)).toEqual([])
        expect(new Set(done).size).toBe(done.length)
        expect(await queue.parked()).toBe(0)
      })
    })
  })
})
