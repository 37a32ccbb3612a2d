// What RocketMQ as delivered does to consumers, which takes minutes to see:
//   ONCEMQ_SOAK=1 npm run vitest -- packages/brokers/rocketmq/test/soak.test.ts
import { describeService } from '@oncemq/test-services/vitest'
import { ConsumeResult } from 'rocketmq-client-nodejs'
import { describe, expect, test } from 'vitest'
import { dedupListener, dedupSimpleConsumer } from '../src/index.ts'
import { deduplicator, place, quiet, until } from './set-up.ts'
import { workersAt } from './workers.ts'

const SOAK = process.env['ONCEMQ_SOAK'] === '1'
const MINUTE_MS = 60_000
const LONG_MS = 6 * MINUTE_MS
const HANDLER_MS = 75_000
const BATCH = 10

const SERVERS = SOAK ? (['rocketmq'] as const) : []

describe('as delivered', () => {
  test('it takes minutes', ({ skip }) => {
    skip(!SOAK, 'set ONCEMQ_SOAK=1 to run it')
    expect(SERVERS).toHaveLength(1)
  })
  for (const name of SERVERS)
    describeService(name, ({ url }) => {
      test(
        'a batch that was answered SUCCESS late comes again, and is acked',
        { timeout: LONG_MS },
        async () => {
          const at = await place(url, 'NORMAL', {}, 1)
          const dedup = deduplicator()
          const starts = new Map<string, number>()
          const consume = async ({ body }: { body: Buffer }) => {
            const name = body.toString()
            starts.set(name, (starts.get(name) ?? 0) + 1)
            await quiet(HANDLER_MS)
            return ConsumeResult.SUCCESS
          }
          for (let count = 0; count < BATCH; count += 1) await at.send(`m${count}`)
          await at.push(dedupListener({ consume }, dedup))
          await until('all handlers', () => dedup.counts().completed === BATCH, 3 * MINUTE_MS)
          await quiet(MINUTE_MS + 20_000)
          console.log(`late batch: ${dedup.counts().duplicate} of ${BATCH} came again`)
          expect([...starts.values()]).toEqual(Array.from({ length: BATCH }, () => 1))
        },
      )

      test(
        'what was renewed and then acked in a batch comes again, and is acked',
        { timeout: LONG_MS },
        async () => {
          const at = await place(url, 'NORMAL', {}, 1)
          const dedup = deduplicator()
          const raw = at.simple({ awaitDuration: 5000 })
          const consumer = dedupSimpleConsumer(raw, dedup)
          await consumer.startup()
          for (let count = 0; count < BATCH; count += 1) await at.send(`m${count}`)
          await quiet(2000)
          const given: string[] = []
          const endMs = performance.now() + MINUTE_MS
          while (performance.now() < endMs) {
            for (const message of await consumer.receive(BATCH, 10_000)) {
              given.push(message.body.toString())
              if (given.length % 2 === 1) await consumer.changeInvisibleDuration(message, 12_000)
              await consumer.ack(message)
            }
          }
          console.log(`renewed then acked: ${dedup.counts().duplicate} of ${BATCH} came again`)
          expect(given.toSorted()).toEqual(Array.from({ length: BATCH }, (_, index) => `m${index}`))
        },
      )

      test.each(['simple', 'push'] as const)(
        'a stopped process is taken over: %s',
        { timeout: LONG_MS },
        async (form) => {
          const at = await place(url, 'NORMAL')
          const start = workersAt(at, { form, handlerMs: 20_000, pollMs: 5000 })
          const first = await start()
          await at.send('a')
          await until('the first to start', () => first.lines.includes('start a'), MINUTE_MS)
          first.child.kill('SIGSTOP')
          const fromMs = performance.now()
          const second = await start()
          await until('the second to end', () => second.lines.includes('done a'), 4 * MINUTE_MS)
          console.log(`stopped, ${form}: taken over after ${Math.round(performance.now() - fromMs)} ms`)
          first.child.kill('SIGCONT')
          await until('the first to notice', () => first.lines.includes('stopped a'), MINUTE_MS)
          await quiet(20_000)
          expect(first.lines).not.toContain('done a')
          expect(second.lines.filter((line) => line === 'start a')).toHaveLength(1)
        },
      )
    })
})
