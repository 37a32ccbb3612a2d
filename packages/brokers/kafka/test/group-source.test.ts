import type { Deduplicator } from '@oncemq/core'
import { MemoryStore } from '@oncemq/core'
import type { Receiver } from '@oncemq/core/broker'
import { VirtualClock } from '@oncemq/core/testing'
import { expect, test } from 'vitest'
import type { KafkaMessage } from '../src/client.ts'
import type { GroupMember, RecordProducer } from '../src/clients/port.ts'
import { GroupSource } from '../src/group-source.ts'
import { Parking } from '../src/parking.ts'
import { deduplicator } from './set-up.ts'

const producer: RecordProducer = { send: async () => undefined, close: async () => undefined }

/** A source whose member joins and leaves as the test says. */
function slowGroup() {
  const clock = new VirtualClock()
  const dedup = deduplicator({ clock, store: new MemoryStore({ clock }) }) as unknown as Deduplicator<never>
  const joins: PromiseWithResolvers<void>[] = []
  const calls: string[] = []
  const ends: unknown[] = []
  const member: GroupMember = {
    generation: { id: undefined, memberId: undefined },
    join() {
      calls.push('join')
      joins.push(Promise.withResolvers())
      return joins.at(-1)?.promise ?? Promise.resolve()
    },
    leave: async () => void calls.push('leave'),
    commit: async () => undefined,
    pause: () => undefined,
    resume: () => undefined,
    seek: () => undefined,
    close: async () => undefined,
  }
  const parking = new Parking(producer, (topic) => topic, dedup)
  const rest = {
    topics: ['t'],
    fromBeginning: true,
    ordering: 'partition' as const,
    prepare: async () => undefined,
  }
  const source = new GroupSource({ member, producer, parking, dedup, ...rest } as const)
  const receiver: Receiver<KafkaMessage> = {
    room: 1,
    hasRoom: async () => undefined,
    received: () => undefined,
    ended: (error) => void ends.push(error),
  }
  return { clock, source, receiver, joins, calls, ends }
}

/** Lets all promises go on that can. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('a group that lets nobody in for minutes is waited for in the session, not begun anew', async () => {
  const { clock, source, receiver, joins, calls, ends } = slowGroup()
  const opening = source.open(receiver)
  await settled()
  clock.advance(10_000)
  await opening
  clock.advance(120_000)
  joins[0]?.resolve()
  await settled()
  expect({ calls, ends }).toEqual({ calls: ['join'], ends: [] })
})

test('a join that fails is thrown at start, and ends the session later', async () => {
  const { clock, source, receiver, joins, ends } = slowGroup()
  const refused = new Error('refused')
  const first = source.open(receiver)
  await settled()
  joins[0]?.reject(refused)
  await expect(first).rejects.toBe(refused)
  const second = source.open(receiver)
  await settled()
  clock.advance(10_000)
  await second
  joins[1]?.reject(refused)
  await settled()
  expect(ends).toEqual([refused])
})

test('a session that is closed before it has joined leaves then, before the next one joins', async () => {
  const { clock, source, receiver, joins, calls, ends } = slowGroup()
  const opening = source.open(receiver)
  await settled()
  clock.advance(10_000)
  const session = await opening
  await session.close()
  const next = source.open(receiver)
  await settled()
  expect(calls).toEqual(['join', 'leave'])
  joins[0]?.resolve()
  await settled()
  expect(calls).toEqual(['join', 'leave', 'leave', 'join'])
  joins[1]?.resolve()
  await next
  expect(ends).toEqual([])
})
