import { EventEmitter } from 'node:events'
import { VirtualClock } from '@oncemq/core/testing'
import { expect, test } from 'vitest'
import { platformaticMember } from '../src/clients/platformatic.ts'
import type { RawPlatformaticConsumer } from '../src/clients/platformatic-raw.ts'

const CUT_OFF = new Error('cut off')

/** A client that is in the group, and whose commits fail. */
class FakeConsumer extends EventEmitter {
  readonly topics = { current: ['t'], track: () => true }
  readonly assignments = [{ topic: 't', partitions: [] }]
  readonly memberId = 'm'
  readonly generationId = 1
  readonly coordinatorId = 1
  joins = 0
  commits = 0

  async joinGroup(): Promise<void> {
    this.joins += 1
    this.emit('consumer:group:join')
  }

  async commit({ offsets }: { offsets: readonly object[] }): Promise<void> {
    this.commits += offsets.length
    throw CUT_OFF
  }
}

async function joined() {
  const clock = new VirtualClock()
  const consumer = new FakeConsumer()
  const crashes: unknown[] = []
  const member = platformaticMember(consumer as unknown as RawPlatformaticConsumer, clock)
  await member.join(['t'], true, {
    assigned: () => undefined,
    received: () => undefined,
    crashed: (error) => void crashes.push(error),
    beaten: () => undefined,
  })
  const commit = () => member.commit([{ topic: 't', partition: 0, offset: '1' }])
  return { clock, consumer, crashes, commit }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

// The client joins again after a commit was refused, and when it cannot it tells so to that commit alone.
test('a member whose heart does not beat after a commit that failed joins again', async () => {
  const { clock, consumer, crashes, commit } = await joined()
  await expect(commit()).rejects.toBe(CUT_OFF)
  clock.advance(30_000)
  clock.advance(100)
  await settled()
  expect(crashes).toEqual([CUT_OFF])
  expect(consumer.joins).toBe(2)
})

test.for(['consumer:heartbeat:start', 'consumer:heartbeat:error', 'consumer:group:join'])(
  'a member stays one: %s',
  async (event) => {
    const { clock, consumer, crashes, commit } = await joined()
    await expect(commit()).rejects.toBe(CUT_OFF)
    clock.advance(29_000)
    consumer.emit(event)
    clock.advance(60_000)
    await settled()
    expect({ crashes, joins: consumer.joins }).toEqual({ crashes: [], joins: 1 })
  },
)

test('no commit waits behind a join, after which it would be refused', async () => {
  const { consumer, commit } = await joined()
  consumer.emit('consumer:group:rebalance')
  await expect(commit()).rejects.toMatchObject({ name: 'Rebalancing' })
  expect(consumer.commits).toBe(0)
  await consumer.joinGroup()
  await expect(commit()).rejects.toBe(CUT_OFF)
  expect(consumer.commits).toBe(1)
})
