import { randomInt } from 'node:crypto'
import type { Deduplicator, ProcessOutcome } from '@oncemq/core'
import { createDeduplicator, stateMachine } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { describe, expect, onTestFailed, test } from 'vitest'
import type { StatesShop } from './states-shop.ts'
import { mongoStates, mysqlStates, postgresStates, sqliteStates } from './states-shop.ts'

const WORKERS = 3
const PARCELS = 12
const COPIES_MAX = 4
const ROUNDS_MAX = 200

interface Asked {
  readonly id: string
  readonly transition: string
}

/** Whole lives of a row, and where each ends. */
const LIVES = [
  { transitions: ['pay', 'ship', 'deliver'], end: 'delivered' },
  { transitions: ['pay', 'refund'], end: 'refunded' },
  { transitions: ['pay', 'ship', 'refund'], end: 'refunded' },
] as const

const machine = {
  table: 'parcels',
  id: 'id',
  state: 'state',
  initial: 'pending',
  final: ['delivered', 'refunded'],
  transitions: {
    pay: { from: 'pending', to: 'paid' },
    ship: { from: 'paid', to: 'shipped' },
    deliver: { from: 'shipped', to: 'delivered' },
    refund: { from: 'shipped', to: 'refunded' },
    refundUnshipped: { from: 'paid', to: 'refunded' },
  },
  onAmbiguous: 'duplicate',
  read: (message: Asked) => message,
} as const

/** The same choices for the same seed: mulberry32, by Tommy Ettinger. */
function diceOf(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/** The messages of all lives, each once to four times, in any order. */
function messagesOf(dice: (below: number) => number) {
  const ends = new Map<string, string>()
  const messages: Asked[] = []
  for (let count = 0; count < PARCELS; count += 1) {
    const id = `parcel-${count}`
    const life = LIVES[dice(LIVES.length)] ?? LIVES[0]
    const isShipped = (life.transitions as readonly string[]).includes('ship')
    ends.set(id, life.end)
    for (const each of life.transitions) {
      const transition = each === 'refund' && !isShipped ? 'refundUnshipped' : each
      for (let copy = 0; copy <= dice(COPIES_MAX); copy += 1) messages.push({ id, transition })
    }
  }
  for (let last = messages.length - 1; last > 0; last -= 1) {
    const other = dice(last + 1)
    const [a, b] = [messages[last], messages[other]]
    if (a !== undefined && b !== undefined) [messages[last], messages[other]] = [b, a]
  }
  return { ends, messages }
}

/** Delivers what is left, some of it failing, until nothing comes too early any more. */
async function deliver<Tx>(
  shop: StatesShop<Tx>,
  workers: readonly Deduplicator<Tx>[],
  messages: readonly Asked[],
  dice: (below: number) => number,
): Promise<ReadonlySet<string>> {
  const seen = new Set<string>()
  let left = messages
  for (let round = 0; left.length > 0; round += 1) {
    expect(round).toBeLessThan(ROUNDS_MAX)
    const handled = left.map(async (message): Promise<ProcessOutcome> => {
      const worker = workers[dice(workers.length)] ?? workers[0]
      const fails = dice(6) === 0
      if (worker === undefined) throw new Error('expected workers')
      return worker.process({ key: undefined, message }, async ({ tx }) => {
        await shop.effect(tx, `${message.id} ${message.transition}`)
        if (fails) throw new Error('this start fails')
      })
    })
    const outcomes = await Promise.all(handled)
    for (const { status } of outcomes) seen.add(status)
    left = left.filter(
      (_, position) => !['completed', 'duplicate'].includes(outcomes[position]?.status ?? ''),
    )
  }
  return seen
}

function endsTheSame<Tx>(open: () => Promise<StatesShop<Tx>>): void {
  test('histories, duplicated and reordered, end where they should, with one effect a step', async () => {
    const seed = randomInt(2 ** 31)
    onTestFailed(() => console.error(`seed ${seed}`))
    const dice = diceOf(seed)
    const shop = await open()
    const workers = Array.from({ length: WORKERS }, () =>
      createDeduplicator<Tx>({
        store: shop.store,
        consumerGroup: 'parcels',
        strategy: stateMachine<Asked>(machine),
        attemptsMax: 1000,
      }),
    )
    const { ends, messages } = messagesOf(dice)
    for (const id of ends.keys()) await shop.create(id, 'pending')
    const seen = await deliver(shop, workers, messages, dice)
    expect([...seen]).toEqual(expect.arrayContaining(['completed', 'duplicate', 'early']))
    const states = await Promise.all(
      [...ends.keys()].map(async (id) => [id, await shop.stateOf(id)] as const),
    )
    expect(new Map(states)).toEqual(ends)
    for (const asked of new Set(messages.map(({ id, transition }) => `${id} ${transition}`))) {
      expect([asked, await shop.effects(asked)]).toEqual([asked, 1])
    }
    await Promise.all(workers.map((worker) => worker.close()))
    await shop.close()
  })
}

describe('sqlite', () => {
  endsTheSame(sqliteStates)
})
describeService('postgres-18', (server) => endsTheSame(() => postgresStates(server)))
describeService('mysql-8.0', (server) => endsTheSame(() => mysqlStates(server)))
describeService('mariadb-11.8', (server) => endsTheSame(() => mysqlStates(server)))
describeService('mongodb-6', (server) => endsTheSame(() => mongoStates(server)))
