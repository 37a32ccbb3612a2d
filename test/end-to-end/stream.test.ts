// Messages of a RabbitMQ stream to two workers that read it by turns, with the effects in the same database.
// Workers are killed with -9, or stopped for longer than the broker waits for them and let go on. The
// database is looked at from outside: each effect once, in the stream's order.
// ONCEMQ_SOAK=1: more messages and faults.
import { randomInt } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { describeService } from '@oncemq/test-services/vitest'
import { connect } from 'amqplib'
import type { TestContext } from 'vitest'
import { test } from 'vitest'
import { sendAmongFaults } from './among-faults.ts'
import { Crew } from './crew.ts'
import { randomOf, seedOf } from './random.ts'
import type { StreamAssignment } from './stream-consumer.ts'
import { until } from './until.ts'
import { openLogs } from './watermark-scene.ts'

const IS_SOAK = process.env['ONCEMQ_SOAK'] === '1'
const CONSUMER = fileURLToPath(new URL('stream-consumer.ts', import.meta.url))
const CONSUMERS = 2
const MESSAGES = IS_SOAK ? 1000 : 80
const FAULTS = IS_SOAK ? 20 : 2
const FAULT_WITHIN_MS = 1000
/** For longer than the broker waits for a heartbeat. */
const FROZEN_MS = 4500
const SETTLE_MS = IS_SOAK ? 300_000 : 60_000
const TEST_MS = 2 * SETTLE_MS
const ATTEMPTS_MAX = 3

const messages = Array.from({ length: MESSAGES }, (_, position) => `m${position}`)

describeService('postgres-18', ({ url: postgres }) => {
  describeService('rabbitmq-4.0', ({ url }) => {
    test.concurrent.for(['postgres', 'sqlite'] as const)(
      '%s, workers that are killed or stand still',
      { timeout: TEST_MS },
      async (store, context) => {
        const { expect } = context
        const seed = seedOf()
        const hint = `ONCEMQ_SEED=${seed}`
        const scene = await openScene({ store, attemptsMax: 100 }, { postgres }, url, context)
        const { crew } = scene
        await crew.start(CONSUMERS)
        const random = randomOf(seed)
        const fault = (number: number): Promise<void> =>
          number % 2 === 0 ? killAll(crew) : crew.freeze(random(CONSUMERS), FROZEN_MS)
        const faults = { count: FAULTS, withinMs: FAULT_WITHIN_MS, random, fault }
        await sendAmongFaults(messages, scene.send, faults)
        await until('all effects', async () => (await scene.effects()).length >= MESSAGES, SETTLE_MS)
        await crew.stop()
        console.log(
          `${store}: ${scene.history.count('run')} runs, ${(await scene.effects()).length} effects ${hint}`,
        )
        expect(await scene.effects(), hint).toEqual(messages)
      },
    )

    test.concurrent(
      'a message that ends its process is put aside after its attempts',
      { timeout: TEST_MS },
      async (context) => {
        const { expect } = context
        const given = { store: 'sqlite', attemptsMax: ATTEMPTS_MAX } as const
        const { crew, history, effects, send, letters } = await openScene(given, { postgres }, url, context)
        await send(['a', 'poison', 'b', 'c'])
        await crew.start(1)
        const succession = crew.succeed(0)
        await until('the others', async () => (await effects()).length === 3, SETTLE_MS)
        await crew.stop()
        await succession
        expect(await effects()).toEqual(['a', 'b', 'c'])
        // The usual ones, and one alone.
        const starts = history.events().filter((event) => event.type === 'run' && event.key === 'poison')
        expect(starts).toHaveLength(ATTEMPTS_MAX + 1)
        expect(await letters()).toEqual([
          { content: 'poison', reason: 'attempts', attempts: ATTEMPTS_MAX + 1 },
        ])
      },
    )
  })
})

async function openScene(
  given: Pick<StreamAssignment, 'store' | 'attemptsMax'>,
  urls: { readonly postgres: string },
  url: string,
  context: TestContext,
) {
  const queue = `stream_${given.store}_${randomInt(2 ** 31)}`
  const { place, ...logs } = await openLogs(given.store, urls, context)
  const stream = await openStream(url, queue, context)
  const crew = new Crew<StreamAssignment>({ ...given, ...place, record: false, url, queue }, CONSUMER)
  context.onTestFinished(() => crew.end())
  return { ...stream, ...logs, crew }
}

async function openStream(url: string, queue: string, context: TestContext) {
  const connection = await connect(url)
  connection.on('error', () => undefined)
  context.onTestFinished(() => connection.close())
  const channel = await connection.createConfirmChannel()
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'stream' } })
  return {
    send: async (sent: readonly string[]): Promise<void> => {
      for (const each of sent) channel.sendToQueue(queue, Buffer.from(each), { persistent: true })
      await channel.waitForConfirms()
    },
    letters: async () => {
      const found: object[] = []
      for (;;) {
        const message = await channel.get(`${queue}.parked`, { noAck: true })
        if (message === false) return found
        const headers: Record<string, unknown> = message.properties.headers ?? {}
        const { 'x-oncemq-reason': reason, 'x-oncemq-attempts': attempts } = headers
        found.push({ content: message.content.toString(), reason, attempts })
      }
    },
  }
}

/** One after the other: one of them reads. */
async function killAll(crew: Crew<StreamAssignment>): Promise<void> {
  for (let place = 0; place < CONSUMERS; place += 1) await crew.kill(place)
}
