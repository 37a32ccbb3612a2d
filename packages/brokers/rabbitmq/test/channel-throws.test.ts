// Callbacks that fail while work that they began goes on: what settles the message afterwards counts.
import { setTimeout as sleep } from 'node:timers/promises'
import { describeService } from '@oncemq/test-services/vitest'
import type { ConsumeMessage } from 'amqplib'
import { expect, onTestFinished, test } from 'vitest'
import { dedupChannel } from '../src/index.ts'
import { connected, deduplicator, newQueue, quiet, readyIn, until } from './set-up.ts'

/** The rejections of callbacks are their users' own: here they are expected. */
function unhandled(): unknown[] {
  const seen: unknown[] = []
  const others = process.rawListeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', (reason) => seen.push(reason))
  onTestFinished(() => {
    process.removeAllListeners('unhandledRejection')
    for (const each of others) process.on('unhandledRejection', each as NodeJS.UnhandledRejectionListener)
  })
  return seen
}

describeService('rabbitmq-4.0', ({ url }) => {
  test.each(['rejects', 'throws'])('a callback that %s and acks later: done once', async (how) => {
    const rejections = unhandled()
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection)
    const dedup = deduplicator()
    const channel = dedupChannel(await connection.createChannel(), dedup)
    let errors = 0
    // With a listener amqplib does not close the channel of a callback that throws.
    channel.on('handler-error', () => (errors += 1))
    let runs = 0
    const handle = (message: ConsumeMessage | null): void => {
      if (message === null) return
      runs += 1
      void sleep(500).then(() => channel.ack(message))
      throw new RangeError('mine')
    }
    await channel.prefetch(10)
    // oxlint-disable-next-line typescript/no-misused-promises -- users do
    await channel.consume(queue, how === 'throws' ? handle : async (message) => handle(message))
    await send('a')
    await send('a')
    await until('the failure', () => rejections.length + errors === 1)
    await until('done', async () => (await dedup.inspect('a', { source: queue }))?.state === 'done')
    await until('the duplicate', () => dedup.counts().duplicate === 1)
    await quiet(1500)
    expect(runs).toBe(1)
    await channel.close()
    expect(await readyIn(connection, queue)).toBe(0)
  })

  test('one that rejects and never acks: the message runs elsewhere when its channel is gone', async () => {
    unhandled()
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection)
    const dedup = deduplicator()
    const first = dedupChannel(await connection.createChannel(), dedup)
    let runs = 0
    await first.prefetch(1)
    // oxlint-disable-next-line typescript/no-misused-promises -- users do
    await first.consume(queue, async () => {
      runs += 1
      await Promise.reject(new RangeError('mine'))
    })
    await send('a')
    await until('the first run', () => runs === 1)
    await quiet()
    await first.close()
    const second = dedupChannel(await connection.createChannel(), dedup)
    await second.prefetch(1)
    const startMs = performance.now()
    await second.consume(queue, (message) => {
      if (message === null) return
      runs += 1
      second.ack(message)
    })
    await until('the second run', () => runs === 2)
    // Not after a lease: its handler has ended.
    expect(performance.now() - startMs).toBeLessThan(10_000)
  })
})
