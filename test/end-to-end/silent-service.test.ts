// A service that listens to nothing and has no logger, whose broker, store and handler fail in turn: what is
// printed must say what to do, and hold no secret.
import { randomInt } from 'node:crypto'
import { inspect } from 'node:util'
import { createDeduplicator } from '@oncemq/core'
import { PostgresStore } from '@oncemq/postgres'
import { consume } from '@oncemq/rabbitmq'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import { connect } from 'amqplib'
import { expect, onTestFinished, test, vi } from 'vitest'
import { until } from './until.ts'

const SECRET = 's3cr3t'
const TEST_MS = 120_000

/** An address with a password that the server does not ask for. */
function withPassword(url: string): string {
  const secret = new URL(url)
  secret.password = SECRET
  return secret.href
}

/** What the process prints from now on. */
function printing() {
  const printed: string[] = []
  vi.spyOn(process, 'emitWarning').mockImplementation((warning, options) => {
    printed.push(`${inspect(options)} ${String(warning)}`)
  })
  onTestFinished(() => void vi.restoreAllMocks())
  const hear = (text: RegExp): Promise<void> =>
    until(String(text), () => printed.some((line) => text.test(line)))
  return { printed, hear }
}

/** A queue of the test's own, and how messages get there. */
async function queueAt(url: string) {
  const name = `silent-${randomInt(2 ** 31)}`
  const sender = await connect(url)
  const channel = await sender.createConfirmChannel()
  await channel.assertQueue(name, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  onTestFinished(async () => {
    await channel.deleteQueue(name)
    await channel.deleteQueue(`${name}.parked`)
    await sender.close()
  })
  return {
    name,
    send: async (content: string, messageId?: string): Promise<void> => {
      channel.sendToQueue(name, Buffer.from(content), messageId === undefined ? {} : { messageId })
      await channel.waitForConfirms()
    },
  }
}

/** The service, as somebody writes it who reads the first page alone. */
async function service(queue: string, broker: FaultProxy, database: FaultProxy) {
  const seen: string[] = []
  const dedup = createDeduplicator({
    store: new PostgresStore({ url: withPassword(database.url), timeoutMs: 1000 }),
    consumerGroup: 'shipping',
    attemptsMax: 4,
    storeTimeoutMs: 1500,
  })
  const consumer = await consume({
    connect: () => connect(`amqp://guest:guest@127.0.0.1:${broker.port}`),
    queue,
    dedup,
    retry: { firstMs: 10 },
    handler({ content }) {
      seen.push(content.toString())
      if (!content.includes('fail')) return
      const detail = `Key (card)=(${SECRET}) already exists`
      throw Object.assign(new RangeError(`${SECRET}: ${detail}`), { code: '23505', detail })
    },
  })
  onTestFinished(async () => {
    await Promise.all([consumer.close({ timeoutMs: 1000 }), dedup.close({ timeoutMs: 1000 })])
    await Promise.all([broker.close(), database.close()])
  })
  return { consumer, dedup, seen }
}

describeService('rabbitmq-4.0', ({ url: brokerUrl }) => {
  describeService('postgres-18', ({ url: storeUrl }) => {
    test('what it prints is enough to know what to do', { timeout: TEST_MS }, async () => {
      const { printed, hear } = printing()
      const { name, send } = await queueAt(brokerUrl)
      const [broker, database] = await Promise.all([FaultProxy.open(brokerUrl), FaultProxy.open(storeUrl)])
      broker.refuse()
      const { consumer, dedup, seen } = await service(name, broker, database)
      await hear(/consume: nothing can be received yet \(.*(ECONN|ended|closed).*trying again until it can/s)
      expect(consumer.health()).toMatchObject({ isReceiving: false })
      broker.resume()
      await hear(/consume: messages can be received again/)
      expect(consumer.health()).toMatchObject({ isReceiving: true })

      await send(`without an id ${SECRET}`)
      await hear(/a message without a key runs without protection; stamp an id at the producer/)

      database.refuse()
      await send(`held ${SECRET}`, `order-${SECRET}`)
      await hear(/the store is down; messages are held until it is back: PostgresStore: expected .*; /)
      expect(dedup.health()).toMatchObject({ isReady: false, store: 'down' })
      database.resume()
      await hear(/the store is back after \d+ m?s; the messages that were held go on/)
      await until('the held one', () => seen.some((content) => content.startsWith('held')))
      expect(dedup.health()).toMatchObject({ isReady: true, store: 'up' })

      await send(`fail ${SECRET}`, 'order-2')
      await hear(
        /a handler keeps failing; its message is tried again until attemptsMax: RangeError 23505 at .*:\d+/,
      )
      await hear(/dead-lettered from '.*' \(attempts, attempt 4, RangeError\); its headers say why, see/)

      await dedup.close()
      await send('after its end', 'order-3')
      await hear(/the consumer has ended: .* Close a deduplicator after its consumers/)
      // One for each thing to know.
      expect(printed).toHaveLength(8)
      for (const line of printed) expect(line).toMatch(/^\{ type: 'OncemqWarning' \} shipping: /)
      for (const line of [...printed, inspect(dedup.health())]) expect(line).not.toContain(SECRET)
    })
  })
})
