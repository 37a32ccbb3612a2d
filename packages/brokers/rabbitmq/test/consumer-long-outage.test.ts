// A store that is down for two days, on a real broker: only the time of the deduplicator is virtual.
import { VirtualClock } from '@oncemq/core/testing'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, test } from 'vitest'
import { dedupChannel } from '../src/index.ts'
import { FlakyStore } from './flaky-store.ts'
import { connected, consuming, deduplicator, newQueue, quiet, until } from './set-up.ts'

const TWO_DAYS_MS = 172_800_000
const MINUTE_MS = 60_000
const DAY_MINUTES = 1441
/** Less than any bound on an answer of the broker, which takes real time. */
const STEP_MS = 250

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}

/** Moves virtual time on, timer by timer. */
async function elapse(clock: VirtualClock, byMs: number): Promise<void> {
  const untilMs = clock.monotonicMs() + byMs
  for (let leftMs = byMs; leftMs > 0; leftMs = untilMs - clock.monotonicMs()) {
    clock.advance(Math.min(leftMs, clock.nextInMs ?? leftMs))
    await turn()
  }
}

describeService('rabbitmq-4.0', ({ url }) => {
  async function setUp() {
    const connection = await connected(url)
    const { queue, send, channel } = await newQueue(connection, 'quorum')
    const clock = new VirtualClock()
    const store = new FlakyStore({ clock })
    const dedup = deduplicator({ store, clock, sweepEveryMs: 0 })
    const checked = () => channel.checkQueue(queue)
    /** Virtual time goes on slowly meanwhile, so that the broker can answer. */
    const passes = (what: string, look: () => Promise<boolean>) =>
      until(what, async () => {
        clock.advance(STEP_MS)
        return look()
      })
    return { connection, queue, send, clock, store, dedup, checked, passes }
  }

  test('a consumer that paused consumes again', { timeout: 120_000 }, async () => {
    const { connection, queue, send, clock, store, dedup, checked, passes } = await setUp()
    const done: string[] = []
    await consuming({
      connection,
      queue,
      dedup,
      ackTimeoutMs: 1000,
      handler: ({ content }) => void done.push(content.toString()),
    })
    store.isDown = true
    await send('a')
    await passes('the pause', async () => (await checked()).consumerCount === 0)
    await elapse(clock, TWO_DAYS_MS)
    expect([await checked(), done]).toMatchObject([{ messageCount: 1, consumerCount: 0 }, []])
    store.isDown = false
    await passes('the message', async () => done.length === 1)
    await send('b')
    await passes('the next one', async () => done.length === 2)
    expect([(await checked()).consumerCount, done]).toEqual([1, ['a', 'b']])
  })

  test.each(['before it consumes', 'later'])(
    'a wrapped channel gives all, with an outage that begins %s',
    { timeout: 120_000 },
    async (when) => {
      const { connection, queue, send, clock, store, dedup, passes } = await setUp()
      const done: string[] = []
      const channel = dedupChannel(await connection.createChannel(), dedup)
      await channel.prefetch(1)
      const consumes = () =>
        channel.consume(queue, (message) => {
          if (message === null) return
          done.push(message.content.toString())
          channel.ack(message)
        })
      if (when === 'later') await consumes()
      store.isDown = true
      await send('a')
      if (when !== 'later') await consumes()
      await passes('the outage', async () => dedup.outage !== undefined)
      // What it holds for as long as it may goes back, and is delivered again.
      for (let minute = 0; minute < DAY_MINUTES; minute += 1) {
        await elapse(clock, MINUTE_MS)
        await quiet(10)
      }
      expect(done).toEqual([])
      store.isDown = false
      await passes('the message', async () => done.length === 1)
      await send('b')
      await passes('the next one', async () => done.length === 2)
    },
  )
})
