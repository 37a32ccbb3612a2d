import { describe, expect, test } from 'vitest'

import { Isolation } from '../src/claims/isolation.ts'
import { VirtualClock } from '../src/testing/index.ts'
import { elapse, settle } from './elapse.ts'
import { heldHandler, setUp } from './set-up.ts'

const LEASE_MS = 6000
const never = (): Promise<never> => new Promise(() => {})
const worker = { leaseMs: LEASE_MS, storeTimeoutMs: 1000, attemptsMax: 2, doneCacheMax: 0 }

type Worker = Awaited<ReturnType<typeof setUp>>

/** A worker that finds these keys after `attemptsMax` starts that all ended with their process. */
async function afterCrashes(keys: readonly string[], options: Parameters<typeof setUp>[0] = {}) {
  const all = await setUp({ ...worker, ...options })
  for (let crash = 0; crash < 2; crash += 1) {
    const crashing = await setUp({ apartFrom: all, ...worker, ...options })
    for (const key of keys) void crashing.dedup.process({ key }, never)
    await settle()
    crashing.store.hangs()
    await elapse(all.clock, LEASE_MS)
  }
  all.told.length = 0
  return all
}

async function attemptsOf({ store, id }: Worker, key: string) {
  const [record] = await store.memory.inspect([id(key)])
  return record && [record.state, record.attempts]
}

describe('turns', () => {
  function isolation() {
    const clock = new VirtualClock()
    const turns = new Isolation(clock, 1000)
    const order: string[] = []
    const ends = new Map<string, () => void>()
    const alone = (name: string, signal?: AbortSignal): void =>
      void turns.alone({ signal }).then((end) => {
        order.push(end === undefined ? `${name} called off` : name)
        if (end !== undefined) ends.set(name, end)
      })
    const end = (name: string): void => ends.get(name)?.()
    return { clock, turns, order, alone, end }
  }

  test('are taken one at a time, in the order in which suspects came', async () => {
    const { turns, order, alone, end } = isolation()
    turns.started()
    for (const name of ['a', 'b', 'c']) alone(name)
    await settle()
    expect(order).toEqual([])
    turns.ended()
    await settle()
    expect(order).toEqual(['a'])
    end('a')
    end('a')
    await settle()
    expect(order).toEqual(['a', 'b'])
    end('b')
    await settle()
    expect([order, turns.isReserved]).toEqual([['a', 'b', 'c'], true])
    end('c')
    expect(turns.isReserved).toBe(false)
  })

  test('that take too long hold nobody up: suspects go on one by one, and so do the others', async () => {
    const { clock, turns, order, alone, end } = isolation()
    turns.started()
    for (const name of ['a', 'b']) alone(name)
    await elapse(clock, 999)
    expect(order).toEqual([])
    await elapse(clock, 1)
    expect(order).toEqual(['a'])
    await elapse(clock, 999)
    expect(order).toEqual(['a'])
    const shared = turns.shared({ signal: undefined })
    await elapse(clock, 1)
    expect(order).toEqual(['a', 'b'])
    await elapse(clock, 1000)
    expect(await shared).toBe(false)
    // The end of the turn that was passed over is none of the turn that is taken now.
    end('a')
    alone('c')
    turns.ended()
    await settle()
    expect(order).toEqual(['a', 'b'])
    end('b')
    await settle()
    expect(order).toEqual(['a', 'b', 'c'])
  })

  test('are waited for in a place that is told, and left', async () => {
    const { clock, turns } = isolation()
    let linedUp = 0
    const lineUp = (): (() => void) => {
      linedUp += 1
      return () => void (linedUp -= 1)
    }
    const place = { enter: () => expect.unreachable(), leave: () => expect.unreachable(), lineUp }
    const end = await turns.alone({ signal: undefined, place })
    expect(linedUp).toBe(0)
    const controller = new AbortController()
    const waiting = [
      turns.alone({ signal: undefined, place }),
      turns.shared({ signal: undefined, place }),
      turns.alone({ signal: controller.signal, place }),
    ]
    await elapse(clock, 500)
    expect(linedUp).toBe(3)
    controller.abort()
    await settle()
    expect(linedUp).toBe(2)
    end?.()
    const next = await waiting[0]
    expect(linedUp).toBe(1)
    if (typeof next === 'function') next()
    await Promise.all(waiting)
    expect(linedUp).toBe(0)
  })

  test('that are called off leave nothing behind', async () => {
    const { clock, turns, order, alone } = isolation()
    const controller = new AbortController()
    turns.started()
    alone('a', controller.signal)
    const shared = turns.shared({ signal: undefined })
    await settle()
    controller.abort()
    expect(await shared).toBe(true)
    expect([order, turns.isReserved, clock.nextInMs]).toEqual([['a called off'], false, undefined])
  })
})

describe('a message whose starts all ended with their process', () => {
  test('gets one more start, alone: it waits for what runs, and what arrives waits for it', async () => {
    const all = await afterCrashes(['suspect'])
    const { started, handler, end } = heldHandler()
    const deliver = (key: string) => all.dedup.process({ key }, handler(key))
    const before = deliver('before')
    await settle()
    const suspect = deliver('suspect')
    await settle()
    const after = [deliver('after'), all.dedup.process({ key: undefined }, handler('unkeyed'))]
    await settle()
    expect([started, await attemptsOf(all, 'after')]).toEqual([['before'], undefined])
    end()
    await settle()
    expect(started).toEqual(['before', 'suspect'])
    end()
    await settle()
    expect(started.slice(0, 2)).toEqual(['before', 'suspect'])
    expect(started.slice(2).toSorted()).toEqual(['after', 'unkeyed'])
    end()
    end()
    const outcomes = await Promise.all([before, suspect, ...after])
    expect(outcomes.map(({ status }) => status)).toEqual(Array(4).fill('completed'))
  })

  test('while it waits, a crash counts nothing: its claim is given back', async () => {
    const all = await afterCrashes(['suspect'])
    void all.dedup.process({ key: 'running' }, never)
    void all.dedup.process({ key: 'suspect' }, never)
    await settle()
    expect(await attemptsOf(all, 'suspect')).toEqual(['free', 2])
  })

  test('that ends its process alone too is rejected, and not started again', async () => {
    const all = await afterCrashes(['suspect'])
    let starts = 0
    const last = await setUp({ apartFrom: all, ...worker })
    void last.dedup.process({ key: 'suspect' }, ({ attempt }) => {
      starts += 1
      expect(attempt).toBe(3)
      return never()
    })
    await settle()
    last.store.hangs()
    await elapse(all.clock, LEASE_MS)
    const outcome = await all.dedup.process({ key: 'suspect' }, () => expect.unreachable())
    expect(outcome).toMatchObject({ status: 'rejected', reason: 'attempts', attempt: 3 })
    expect([starts, all.names()]).toEqual([1, ['rejected']])
    expect('forgive' in outcome && (await outcome.forgive?.())).toBe(true)
    const replay = await all.dedup.process({ key: 'suspect' }, ({ attempt }) => expect(attempt).toBe(1))
    expect(replay.status).toBe('completed')
  })

  test('that throws in it has failed for the last time', async () => {
    const all = await afterCrashes(['suspect'])
    const outcome = await all.dedup.process({ key: 'suspect' }, () => Promise.reject(new Error('no')))
    expect(outcome).toMatchObject({ status: 'failed', final: true, reason: 'attempts', attempt: 3 })
  })

  test('a delivery that is granted while it waits gives way, and its start does not count', async () => {
    const all = await afterCrashes(['suspect'])
    const { started, handler, end } = heldHandler()
    const late = Promise.withResolvers<void>()
    all.store.around = async (call, apply) => {
      const answers = await apply()
      if (call.batch[0]?.id === all.id('innocent')) await late.promise
      return answers
    }
    const innocent = all.dedup.process({ key: 'innocent' }, handler('innocent'))
    await settle()
    const reserved = all.dedup.process({ key: undefined, startsBefore: 2 }, handler('suspect'))
    await settle()
    late.resolve()
    await settle()
    expect([started, await attemptsOf(all, 'innocent')]).toEqual([['suspect'], ['free', 0]])
    end()
    await settle()
    end()
    expect([(await reserved).status, (await innocent).status]).toEqual(['completed', 'completed'])
  })

  test('holds nobody up for longer than its turn, and is held up no longer', async () => {
    const all = await afterCrashes(['suspect'], { retentionMs: 600_000 })
    const turnMs = LEASE_MS + 3 * all.dedup.settings.storeTimeoutMs
    const { started, handler } = heldHandler()
    for (const key of ['hangs', 'suspect', 'after']) void all.dedup.process({ key }, handler(key))
    await elapse(all.clock, turnMs - 1)
    expect(started).toEqual(['hangs'])
    await elapse(all.clock, 1)
    expect(started).toEqual(['hangs', 'suspect'])
    await elapse(all.clock, turnMs - 1)
    expect(started).toEqual(['hangs', 'suspect'])
    await elapse(all.clock, 1)
    expect(started).toEqual(['hangs', 'suspect', 'after'])
  })

  test('lets the others go when it ends without a start: duplicate, called off, store down', async () => {
    const all = await afterCrashes(['suspect'])
    const other = await setUp({ apartFrom: all, ...worker })
    const { handler, end } = heldHandler()
    const running = all.dedup.process({ key: 'running' }, handler('running'))
    const suspect = all.dedup.process({ key: 'suspect' }, () => expect.unreachable())
    const controller = new AbortController()
    const calledOff = all.dedup.process({ key: undefined, startsBefore: 1 }, () => {})
    const second = all.dedup.process({ key: 'suspect', signal: controller.signal }, () =>
      expect.unreachable(),
    )
    await settle()
    expect((await other.dedup.process({ key: 'suspect' }, () => {})).status).toBe('completed')
    controller.abort()
    expect((await second).status).toBe('busy')
    end()
    expect((await suspect).status).toBe('duplicate')
    expect([(await running).status, (await calledOff).status]).toEqual(['completed', 'completed'])
    expect((await all.dedup.process({ key: 'next' }, () => {})).status).toBe('completed')
  })

  test('does not keep the others out while it waits for a key that another worker holds', async () => {
    const all = await afterCrashes(['suspect'])
    const other = await setUp({ apartFrom: all, ...worker })
    const { handler, end } = heldHandler()
    const running = all.dedup.process({ key: 'running' }, handler('running'))
    const suspect = all.dedup.process({ key: 'suspect' }, () => expect.unreachable())
    await settle()
    const elsewhere = other.dedup.process({ key: 'suspect' }, handler('elsewhere'))
    await settle()
    end()
    await running
    expect((await all.dedup.process({ key: 'next' }, () => {})).status).toBe('completed')
    end()
    await elapse(all.clock, 1000)
    expect([(await elsewhere).status, (await suspect).status]).toEqual(['completed', 'duplicate'])
  })

  test('is not waited for at close, nor started after it', async () => {
    const all = await afterCrashes(['suspect'])
    const { handler, end } = heldHandler()
    const running = all.dedup.process({ key: 'running' }, handler('running'))
    await settle()
    const unstarted = [
      all.dedup.process({ key: 'suspect' }, () => expect.unreachable()),
      all.dedup.process({ key: undefined, startsBefore: 2 }, () => expect.unreachable()),
      all.dedup.process({ key: undefined }, () => expect.unreachable()),
    ]
    await settle()
    const closing = all.dedup.close()
    expect((await Promise.all(unstarted)).map(({ status }) => status)).toEqual(Array(3).fill('closed'))
    end()
    await Promise.all([running, closing])
    expect(all.names()).not.toContain('warning')
  })
})

test('a suspect that does not wait has the turn that is free, with a key and without', async () => {
  const all = await afterCrashes(['suspect'])
  const [signal, body] = [AbortSignal.abort(), Buffer.from('poison')]
  for (const delivery of [
    { key: 'suspect' },
    { key: undefined, body, startsBefore: 9 },
    { key: undefined, startsBefore: 3 },
  ]) {
    const outcome = await all.dedup.claim({ ...delivery, signal })
    if (!('claim' in outcome)) throw new Error(`expected a claim, received ${outcome.status}`)
    expect((await all.dedup.claim({ key: 'neighbour', signal })).status).toBe('busy')
    await outcome.claim.complete()
  }
})

test('ten messages that were in flight with a poison survive sixteen crashes that they shared', async () => {
  const options = { ...worker, attemptsMax: 16, busyTimeoutMs: 0 }
  const all = await setUp(options)
  const innocents = Array.from({ length: 10 }, (_, number) => `innocent ${number}`)
  const left = new Set(['poison', ...innocents])
  const ended = new Map<string, string>()
  let crashes = 0
  let poisonStarts = 0
  for (let restart = 0; left.size > 0 && restart < 40; restart += 1) {
    const { dedup, store } = await setUp({ apartFrom: all, ...options })
    let isDead = false
    const handle = async (key: string): Promise<void> => {
      await settle()
      if (key === 'poison') {
        isDead = true
        crashes += 1
        poisonStarts += 1
        store.hangs()
      }
      if (isDead) await never()
    }
    for (const key of left) {
      void dedup
        .process({ key }, () => handle(key))
        .then(({ status }) => {
          ended.set(key, status)
          left.delete(key)
        })
    }
    for (let step = 0; step < 20 && !isDead; step += 1) await settle()
    await elapse(all.clock, LEASE_MS)
  }
  expect([...ended]).toEqual(expect.arrayContaining(innocents.map((key) => [key, 'completed'])))
  expect(ended.get('poison')).toBe('rejected')
  // Sixteen starts among others, and one alone.
  expect([crashes, poisonStarts]).toEqual([17, 17])
})
