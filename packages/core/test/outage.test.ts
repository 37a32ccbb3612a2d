import { describe, expect, test } from 'vitest'

import { StoreError } from '../src/store/index.ts'
import { VirtualClock } from '../src/testing/index.ts'
import { EventHub } from '../src/observe/event-hub.ts'
import { Outage } from '../src/store/outage.ts'
import { elapse, settle } from './elapse.ts'
import type { Call } from './scripted-store.ts'
import { countedRandom, setUp } from './set-up.ts'

const down = new StoreError('ONCEMQ_STORE_UNAVAILABLE', 'down')
const PROBE = 'oncemq self-test'
const fails = (): Promise<never> => Promise.reject(down)

/** An outage whose probe the test answers. */
function outage() {
  const clock = new VirtualClock()
  const events = new EventHub('billing')
  const probedAtMs: number[] = []
  const probe = { answer: (): Promise<void> => fails() }
  const asked = (): Promise<void> => {
    probedAtMs.push(clock.monotonicMs())
    return probe.answer()
  }
  return {
    clock,
    events,
    probe,
    probedAtMs,
    outage: new Outage(asked, { clock, random: countedRandom(), storeTimeoutMs: 5000 }, events),
  }
}

describe('probing', () => {
  test('begins with the first failure, with growing waits, up to five seconds with jitter', async () => {
    const { clock, outage: state, probedAtMs } = outage()
    state.failed(down)
    await elapse(clock, 30_000)
    const waits = probedAtMs.map((atMs, count) => atMs - (probedAtMs[count - 1] ?? 0))
    expect(waits.slice(0, 9)).toEqual([38, 75, 150, 300, 600, 1200, 2400, 3750, 3750])
  })

  test('is one at a time, however many failures are told', async () => {
    const { clock, outage: state, probe, probedAtMs } = outage()
    probe.answer = () => new Promise(() => {})
    for (let count = 0; count < 100; count += 1) state.failed(down)
    await elapse(clock, 60_000)
    for (let count = 0; count < 100; count += 1) state.failed(down)
    await elapse(clock, 60_000)
    expect(probedAtMs).toHaveLength(1)
  })

  test('ends when the store is up; a failure long after begins a new outage with short waits', async () => {
    const { clock, outage: state, probe, probedAtMs, events } = outage()
    const told: unknown[] = []
    events.on('outage', ({ error }) => told.push(error))
    events.on('recovered', ({ downMs }) => told.push(downMs))
    state.failed(down)
    await elapse(clock, 300)
    probe.answer = async () => {}
    await elapse(clock, 1000)
    expect([state.error, told, clock.nextInMs]).toEqual([undefined, [down, 563], undefined])
    probe.answer = fails
    await elapse(clock, 60_001)
    state.failed(down)
    expect(clock.nextInMs).toBe(38)
    expect(probedAtMs).toHaveLength(4)
  })
})

test('a store that fails again soon has not recovered: the waits go on growing', async () => {
  const { clock, outage: state, probe } = outage()
  probe.answer = async () => {}
  const waits: unknown[] = []
  for (let count = 0; count < 9; count += 1) {
    state.failed(down)
    waits.push(clock.nextInMs)
    await elapse(clock, clock.nextInMs ?? 0)
    expect(state.error).toBeUndefined()
  }
  expect(waits).toEqual([38, 75, 150, 300, 600, 1200, 2400, 3750, 3750])
})

describe('those who wait', () => {
  test('are woken in the order of arrival: one tries, the others go when it was answered', async () => {
    const { clock, outage: state, probe } = outage()
    const woken: number[] = []
    state.failed(down)
    for (const each of [1, 2, 3]) void state.recovery(60_000).then((isUp) => isUp && woken.push(each))
    probe.answer = async () => {}
    await elapse(clock, 100)
    expect(woken).toEqual([1])
    state.succeeded()
    await settle()
    expect([woken, state.error]).toEqual([[1, 2, 3], undefined])
  })

  test('go on at once when the store is up', async () => {
    expect(await outage().outage.recovery(0)).toBe(true)
  })

  test('give up at their bound, when they are called off, and at the end', async () => {
    const { clock, outage: state } = outage()
    const controller = new AbortController()
    state.failed(down)
    const waits = [state.recovery(100), state.recovery(60_000, controller.signal), state.recovery(60_000)]
    controller.abort()
    await elapse(clock, 100)
    state.close()
    expect(await Promise.all(waits)).toEqual([false, false, false])
    expect(await state.recovery(60_000)).toBe(false)
    await settle()
    expect(clock.nextInMs).toBeUndefined()
  })
})

describe('a delivery while the store is down', () => {
  test('is held, and runs when the store is up', async () => {
    const { clock, store, dedup, names } = await setUp()
    store.around = fails
    const started: string[] = []
    const outcomes = ['a', 'b', 'c'].map((key) => dedup.process({ key }, () => void started.push(key)))
    await elapse(clock, 5000)
    expect([started, dedup.outage]).toEqual([[], down])
    store.works()
    await elapse(clock, 5000)
    expect((await Promise.all(outcomes)).map(({ status }) => status)).toEqual(Array(3).fill('completed'))
    expect([started, dedup.outage]).toEqual([['a', 'b', 'c'], undefined])
    expect(names()).toEqual(expect.arrayContaining(['storeError', 'outage', 'recovered']))
  })

  test('is given back past its bound, and nothing has run', async () => {
    const { clock, store, dedup } = await setUp({ outageHoldMs: 4000 })
    store.around = fails
    const outcome = dedup.process({ key: 'a' }, () => expect.unreachable())
    await elapse(clock, 3900)
    expect(dedup.counts().granted).toBe(0)
    await elapse(clock, 200)
    expect(await outcome).toEqual({ status: 'store-down', error: down })
  })

  test('has one bound for all outages that it meets: a store may be up for its probe alone', async () => {
    const { clock, store, dedup, id } = await setUp({ outageHoldMs: 4000 })
    store.around = ({ batch }, apply) => (batch.some((entry) => entry.id === id('a')) ? fails() : apply())
    const ended: string[] = []
    void dedup.process({ key: 'a' }, () => expect.unreachable()).then(({ status }) => ended.push(status))
    await elapse(clock, 3900)
    expect([dedup.counts().outage, dedup.counts().recovered]).toEqual([1, 0])
    expect(store.callsOf('claim').filter(({ batch }) => batch[0]?.id === id('a')).length).toBeGreaterThan(4)
    expect(ended).toEqual([])
    await elapse(clock, 200)
    expect(ended).toEqual(['store-down'])
  })

  test('is given back at once when it is called off', async () => {
    const { store, dedup } = await setUp()
    const controller = new AbortController()
    store.around = fails
    const outcome = dedup.process({ key: 'a', signal: controller.signal }, () => expect.unreachable())
    await settle()
    controller.abort()
    expect((await outcome).status).toBe('store-down')
  })

  test('runs without protection where that is asked for, at once, and is counted', async () => {
    const { store, dedup, names } = await setUp({ onStoreDown: 'process' })
    store.around = fails
    const outcome = await dedup.process({ key: 'a' }, () => Buffer.from('x'))
    expect(outcome).toMatchObject({ status: 'completed', protected: false })
    expect(names()).toEqual(['storeError', 'outage', 'unprotected'])
    expect(dedup.counts().unprotected).toBe(1)
  })

  test('a store that refuses for good is no outage: the delivery is given back, others go on', async () => {
    const { store, dedup } = await setUp()
    const refused = new StoreError('ONCEMQ_STORE_REFUSED', 'no')
    store.around = () => Promise.reject(refused)
    expect(await dedup.process({ key: 'a' }, () => {})).toMatchObject({
      status: 'store-refused',
      error: refused,
    })
    expect(dedup.outage).toBeUndefined()
  })

  test('many deliveries ask a store that is down no more often than one', async () => {
    const { clock, store, dedup } = await setUp({ outageHoldMs: 60_000 })
    store.around = fails
    for (let count = 0; count < 500; count += 1) {
      void dedup.process({ key: String(count) }, () => {})
      await elapse(clock, 20)
    }
    // The first claim, and the probes of ten seconds.
    expect(store.calls.length).toBeLessThan(12)
  })
})

describe('available', () => {
  test('tells a consumer when to go on', async () => {
    const { clock, store, dedup } = await setUp({ outageHoldMs: 0 })
    expect(await dedup.available()).toBe(true)
    store.around = fails
    await dedup.process({ key: 'a' }, () => {})
    const available = dedup.available()
    store.works()
    await elapse(clock, 100)
    expect(await available).toBe(true)
  })

  test('ends with a signal and with the deduplicator', async () => {
    const { store, dedup } = await setUp({ outageHoldMs: 0 })
    store.around = fails
    await dedup.process({ key: 'a' }, () => {})
    const controller = new AbortController()
    const [called, closed] = [dedup.available(controller.signal), dedup.available()]
    controller.abort()
    expect(await called).toBe(false)
    store.works()
    await dedup.close()
    expect(await closed).toBe(false)
  })
})

describe('a store that answers its probe and fails at the work', () => {
  const isWork = ({ batch }: Call): boolean =>
    batch.some((entry) => 'label' in entry && entry.label !== PROBE)

  /** Consumers that hold their message until the store is there, as adapters do. */
  async function consumers(count: number, options: Parameters<typeof setUp>[0] = {}) {
    const all = await setUp({ storeTimeoutMs: 1000, ...options })
    const ended: string[] = []
    const consume = async (key: string): Promise<void> => {
      for (;;) {
        const { status } = await all.dedup.process({ key }, () => {})
        if (status !== 'store-down') return void ended.push(status)
        if (!(await all.dedup.available())) return
      }
    }
    const work = { underWay: 0, mostUnderWay: 0, asked: 0 }
    const hangs = async (call: Call, apply: () => Promise<unknown>): Promise<unknown> => {
      if (!isWork(call)) return apply()
      work.asked += call.batch.length
      work.underWay += call.batch.length
      work.mostUnderWay = Math.max(work.mostUnderWay, work.underWay)
      all.clock.after(1000, () => (work.underWay -= call.batch.length))
      return new Promise(() => {})
    }
    all.store.around = hangs
    for (let each = 0; each < count; each += 1) void consume(String(each))
    return { ...all, ended, work }
  }

  test('has few outages, and meets one caller every few seconds', async () => {
    const { clock, dedup, ended, work } = await consumers(50)
    await elapse(clock, 2000)
    Object.assign(work, { asked: 0, mostUnderWay: 0 })
    await elapse(clock, 20_000)
    const soon = work.asked
    await elapse(clock, 20_000)
    expect(dedup.counts()).toMatchObject({ outage: 1, recovered: 0 })
    expect([work.mostUnderWay, ended]).toEqual([1, []])
    expect(work.asked).toBeLessThan(20)
    // The waits went on growing.
    expect(work.asked - soon).toBeLessThanOrEqual(soon)
  })

  test.each([10_000, 0])(
    'and then works: one is answered, and all go at once (held for %d ms)',
    async (outageHoldMs) => {
      const { clock, dedup, ended, store } = await consumers(50, { outageHoldMs })
      await elapse(clock, 20_000)
      store.works()
      await elapse(clock, 8000)
      expect(ended).toEqual(Array(50).fill('completed'))
      expect(dedup.outage).toBeUndefined()
    },
  )

  test('and refuses the first one: it is up, and the others are told so too', async () => {
    const { clock, dedup, ended, store } = await consumers(50)
    await elapse(clock, 20_000)
    const refused = new StoreError('ONCEMQ_STORE_REFUSED', 'no')
    store.around = (call, apply) => (isWork(call) ? Promise.reject(refused) : apply())
    await elapse(clock, 8000)
    expect([ended, dedup.outage]).toEqual([Array(50).fill('store-refused'), undefined])
  })

  test('is not waited for by who has left: another one goes, after a while', async () => {
    const { clock, outage: state, probe } = outage()
    const [left, next] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    probe.answer = async () => {}
    state.failed(down)
    void state.recovery().then(() => left.resolve())
    void state.available().then(() => next.resolve())
    await elapse(clock, 100)
    await left.promise
    expect([state.mayAsk(), state.error]).toEqual([false, down])
    await elapse(clock, 10_000)
    await next.promise
    expect([state.mayAsk(), state.mayAsk()]).toEqual([true, false])
    state.succeeded()
    expect([state.mayAsk(), state.mayAsk(), clock.nextInMs]).toEqual([true, true, undefined])
  })
})

test('an outage of thirty days ends like one of a minute', async () => {
  const { clock, outage: state, probe } = outage()
  const isBack = Promise.withResolvers<void>()
  probe.answer = () => isBack.promise
  state.failed(down)
  const waits = [state.recovery(), state.available()]
  await elapse(clock, 30 * 86_400_000)
  isBack.resolve()
  await settle()
  state.succeeded()
  expect(await Promise.all(waits)).toEqual([true, true])
})
