import { describe, expect, test } from 'vitest'

import { Batcher } from '../src/claims/batcher.ts'
import type { BatchFaults, StoreLoad } from '../src/claims/batcher.ts'
import type { LightLoad } from '../src/store/contract.ts'
import type { Clock } from '../src/time/clock.ts'
import { systemClock } from '../src/time/clock.ts'
import { VirtualClock } from '../src/time/virtual-clock.ts'
import { settle } from './elapse.ts'

interface Sent {
  readonly batch: readonly number[]
  readonly answer: () => void
  readonly fail: (error: unknown) => void
}

const idle = (): StoreLoad => ({ underWay: 0 })
const faults: BatchFaults = {
  isOneEntrys: (error) => error instanceof RangeError,
  isTooSlow: (error) => error === 'slow',
}

/** A batcher whose batches wait for the test to answer them; each request is answered by ten times itself. */
function heldBatcher(
  batchMax: number,
  batchesInFlightMax: number,
  batchMin?: number,
  load = idle(),
  light?: LightLoad,
  clock: Clock = systemClock,
) {
  const sent: Sent[] = []
  const send = (batch: readonly number[]): Promise<readonly number[]> => {
    const { promise, resolve, reject } = Promise.withResolvers<readonly number[]>()
    sent.push({ batch, answer: () => resolve(batch.map((each) => each * 10)), fail: reject })
    return promise
  }
  const limits = { batchMax, batchesInFlightMax, ...(batchMin && { batchMin }) }
  const batcher = new Batcher(send, { ...limits, ...(light && { light }) }, faults, load, clock)
  const ended: string[] = []
  const submit = (...requests: number[]): void => {
    for (const request of requests) {
      batcher.ask(request).then(
        (answer) => ended.push(`${request}: ${answer}`),
        (error: unknown) => ended.push(`${request}: ${String(error)}`),
      )
    }
  }
  return { submit, sent, ended, batches: () => sent.map(({ batch }) => batch) }
}

describe('gathering', () => {
  test('a lone request leaves in the same turn, without a timer', async () => {
    const { submit, sent } = heldBatcher(8, 1)
    submit(1)
    for (let microtask = 0; microtask < 3 && sent.length === 0; microtask += 1) await Promise.resolve()
    expect(sent).toHaveLength(1)
  })

  test('all requests of one turn share a batch', async () => {
    const { submit, batches } = heldBatcher(8, 1)
    submit(1, 2)
    submit(3)
    await settle()
    expect(batches()).toEqual([[1, 2, 3]])
  })

  test('while one batch is on its way, the next gathers', async () => {
    const { submit, sent, batches } = heldBatcher(8, 4)
    submit(1)
    await settle()
    submit(2)
    await settle()
    submit(3)
    await settle()
    expect(batches()).toEqual([[1]])
    sent[0]?.answer()
    await settle()
    expect(batches()).toEqual([[1], [2, 3]])
  })

  test('a burst that finds the store idle leaves in two halves', async () => {
    const { submit, batches } = heldBatcher(8, 2, 2)
    submit(1, 2, 3, 4, 5)
    await settle()
    expect(batches()).toEqual([
      [1, 2, 3],
      [4, 5],
    ])
  })

  test('a burst leaves whole while the store works for another batcher, and a small one too', async () => {
    const busy = heldBatcher(8, 2, 2, { underWay: 1 })
    busy.submit(1, 2, 3, 4, 5)
    const small = heldBatcher(8, 2, 3)
    small.submit(1, 2, 3, 4, 5)
    await settle()
    expect(busy.batches()).toEqual([[1, 2, 3, 4, 5]])
    expect(small.batches()).toEqual([[1, 2, 3, 4, 5]])
  })

  test('the store is idle again when all its batches are answered, or have failed', async () => {
    const load = idle()
    const { submit, sent } = heldBatcher(8, 2, 1, load)
    submit(1, 2)
    await settle()
    expect(load.underWay).toBe(2)
    sent[0]?.answer()
    sent[1]?.fail(new Error('down'))
    await settle()
    expect(load.underWay).toBe(0)
  })

  test('a further batch leaves with batchMin requests, up to the limit', async () => {
    const { submit, batches } = heldBatcher(8, 2, 2)
    submit(1)
    await settle()
    submit(2)
    await settle()
    expect(batches()).toEqual([[1]])
    submit(3)
    await settle()
    submit(4, 5)
    await settle()
    expect(batches()).toEqual([[1], [2, 3]])
  })

  test('a further batch leaves beside those under way only when it is full, up to the limit', async () => {
    const { submit, sent, batches } = heldBatcher(2, 2)
    submit(1, 2, 3)
    await settle()
    expect(batches()).toEqual([[1, 2]])
    submit(4, 5, 6, 7)
    await settle()
    expect(batches()).toEqual([
      [1, 2],
      [3, 4],
    ])
    sent[1]?.answer()
    await settle()
    expect(batches()).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
    ])
  })

  test('no batch is larger than the cap', async () => {
    const { submit, sent, batches } = heldBatcher(3, 1)
    submit(1, 2, 3, 4, 5, 6, 7)
    for (let count = 0; count < 3; count += 1) {
      await settle()
      sent[count]?.answer()
    }
    await settle()
    expect(batches()).toEqual([[1, 2, 3], [4, 5, 6], [7]])
  })
})

describe('while few entries are under way', () => {
  test('what waits leaves at once beside them, up to the number of calls', async () => {
    const light = { callsMax: 3, entriesMin: 4, entriesPerMs: 0 }
    const { submit, batches } = heldBatcher(8, 1, 8, idle(), light)
    for (const request of [1, 2, 3, 4]) {
      submit(request)
      await settle()
    }
    expect(batches()).toEqual([[1], [2], [3]])
  })

  test('only until they are many: then the next batch gathers', async () => {
    const light = { callsMax: 9, entriesMin: 3, entriesPerMs: 0 }
    const { submit, sent, batches } = heldBatcher(8, 1, 8, idle(), light)
    submit(1)
    await settle()
    submit(2, 3)
    await settle()
    submit(4)
    await settle()
    submit(5)
    await settle()
    expect(batches()).toEqual([[1], [2, 3]])
    sent[1]?.answer()
    await settle()
    expect(batches()).toEqual([[1], [2, 3], [4, 5]])
  })

  test('which a longer way to the store makes more, and not a slow answer now and then', async () => {
    const clock = new VirtualClock()
    const light = { callsMax: 99, entriesMin: 1, entriesPerMs: 2 }
    const { submit, sent, batches } = heldBatcher(8, 1, 8, idle(), light, clock)
    for (const tookMs of [2, 50]) {
      submit(0)
      await settle()
      clock.advance(tookMs)
      sent.at(-1)?.answer()
      await settle()
    }
    for (const request of [1, 2, 3, 4, 5, 6]) {
      submit(request)
      await settle()
    }
    // Four, or five with a hundredth of what was slow.
    expect(batches().slice(2)).toEqual([[1], [2], [3], [4], [5]])
  })
})

describe('answers', () => {
  test('come in the order of the requests, also when a later batch is answered first', async () => {
    const { submit, sent, ended } = heldBatcher(2, 2)
    submit(1, 2, 3, 4)
    await settle()
    sent[1]?.answer()
    await settle()
    expect(ended).toEqual([])
    sent[0]?.answer()
    await settle()
    expect(ended).toEqual(['1: 10', '2: 20', '3: 30', '4: 40'])
  })

  test('a batch that fails does not keep the next one waiting', async () => {
    const { submit, sent, ended } = heldBatcher(2, 2)
    submit(1, 2, 3, 4)
    await settle()
    sent[0]?.fail('down')
    sent[1]?.answer()
    await settle()
    expect(ended).toEqual(['1: down', '2: down', '3: 30', '4: 40'])
  })

  test('after a failure, the lane goes on', async () => {
    const { submit, sent, ended } = heldBatcher(2, 1)
    submit(1)
    await settle()
    sent[0]?.fail('down')
    await settle()
    submit(2)
    await settle()
    sent[1]?.answer()
    await settle()
    expect(ended).toEqual(['1: down', '2: 20'])
  })
})

describe('the fault of one entry', () => {
  /** Refuses each batch that holds a bad entry, as a database refuses a statement. */
  function refusing(bad: ReadonlySet<number>, batchMax = 64) {
    let calls = 0
    const send = (batch: readonly number[]): Promise<readonly number[]> => {
      calls += 1
      if (batch.some((each) => bad.has(each))) return Promise.reject(new RangeError('fault'))
      return Promise.resolve(batch.map((each) => each * 10))
    }
    const batcher = new Batcher(send, { batchMax, batchesInFlightMax: 1 }, faults, idle(), systemClock)
    return { batcher, calls: () => calls }
  }

  test.each([[[0]], [[63]], [[31, 32]], [[0, 1, 2, 3, 62, 63]]])(
    'never fails its neighbours: %j',
    async (bad) => {
      const { batcher } = refusing(new Set(bad))
      const requests = Array.from({ length: 64 }, (_, each) => each)
      const answers = await Promise.allSettled(requests.map((each) => batcher.ask(each)))
      const failed = requests.filter((each) => answers[each]?.status === 'rejected')
      expect(failed).toEqual(bad)
      for (const each of requests.filter((request) => !bad.includes(request))) {
        expect(answers[each]).toEqual({ status: 'fulfilled', value: each * 10 })
      }
    },
  )

  test('costs a number of calls that is bounded by the batch', async () => {
    const all = Array.from({ length: 64 }, (_, each) => each)
    const { batcher, calls } = refusing(new Set(all))
    await Promise.allSettled(all.map((each) => batcher.ask(each)))
    expect(calls()).toBe(127)
  })

  test('is told apart from a store that is down: that batch is not sent in parts', async () => {
    const { submit, sent, ended } = heldBatcher(4, 1)
    submit(1, 2)
    await settle()
    sent[0]?.fail('down')
    await settle()
    expect([sent.length, ended]).toEqual([1, ['1: down', '2: down']])
  })
})

describe('a batch that takes too long', () => {
  const numbers = (count: number): number[] => Array.from({ length: count }, (_, each) => each)

  /** The sizes of the batches that leave one after the other, of which each ends as told. */
  async function sizes(requests: number, ends: readonly ('slow' | 'answer')[]) {
    const held = heldBatcher(64, 1)
    held.submit(...numbers(requests))
    for (const [position, end] of ends.entries()) {
      await settle()
      if (end === 'answer') held.sent[position]?.answer()
      else held.sent[position]?.fail('slow')
    }
    await settle()
    return held.batches().map(({ length }) => length)
  }

  test('is not repeated; those after it are half as large, and grow again as they are answered', async () => {
    const ends = ['slow', 'slow', 'slow', 'answer', 'answer', 'answer', 'answer'] as const
    expect(await sizes(1000, ends)).toEqual([64, 32, 16, 8, 16, 32, 64, 64])
  })

  test('makes none smaller than one, nor larger than the cap', async () => {
    const slow = Array.from({ length: 9 }, () => 'slow' as const)
    expect(await sizes(1000, slow)).toEqual([64, 32, 16, 8, 4, 2, 1, 1, 1, 1])
  })

  test('and was sent before others that were slow too makes none larger', async () => {
    const held = heldBatcher(64, 2)
    held.submit(...numbers(64))
    await settle()
    held.submit(...numbers(64))
    await settle()
    held.sent[1]?.fail('slow')
    held.submit(...numbers(640))
    await settle()
    held.sent[2]?.fail('slow')
    await settle()
    held.sent[0]?.fail('slow')
    await settle()
    expect(
      held
        .batches()
        .slice(0, 3)
        .map(({ length }) => length),
    ).toEqual([64, 64, 32])
    expect(
      held
        .batches()
        .slice(3)
        .every(({ length }) => length <= 16),
    ).toBe(true)
  })
})
