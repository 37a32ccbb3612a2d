import { describe, expect, test } from 'vitest'

import { createDeduplicator } from '../src/index.ts'
import type { Deduplicator } from '../src/index.ts'
import { StoreError } from '../src/store/index.ts'
import { VirtualClock } from '../src/testing/index.ts'
import type { Finding } from '../src/store/index.ts'
import { elapse, settle } from './elapse.ts'
import { ScriptedStore } from './scripted-store.ts'
import { countedRandom, GROUP } from './set-up.ts'

function unopened(options: { acceptFindings?: string[]; findings?: Finding[] } = {}) {
  const clock = new VirtualClock()
  const store = new ScriptedStore(clock)
  const { acceptFindings = [], findings = [] } = options
  store.around = (call, apply) => (call.operation === 'open' ? apply().then(() => findings) : apply())
  const another = (): Deduplicator =>
    createDeduplicator({ store, consumerGroup: GROUP, clock, random: countedRandom(), acceptFindings })
  return { clock, store, dedup: another(), another }
}

const unavailable = (): Promise<never> => Promise.reject(new StoreError('ONCEMQ_STORE_UNAVAILABLE', 'down'))
const finding = (severity: Finding['severity']): Finding => ({
  severity,
  code: 'keys-may-go',
  found: 'found it',
  remedy: 'change it',
})

describe('opening', () => {
  test('makes no call before the first use', async () => {
    const { store } = unopened()
    await settle()
    expect(store.calls).toEqual([])
  })

  test('happens once, however many ask for it', async () => {
    const { store, dedup } = unopened()
    await Promise.all([dedup.open(), dedup.open(), dedup.process({ key: 'a' }, () => {})])
    await dedup.open()
    expect(store.callsOf('open')).toHaveLength(1)
  })

  test('can be repeated after a failure', async () => {
    const { store, dedup } = unopened()
    store.around = unavailable
    await expect(dedup.open()).rejects.toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE' })
    store.works()
    await dedup.open()
    expect((await dedup.process({ key: 'a' }, () => {})).status).toBe('completed')
  })

  test('a store that is down when the first message comes holds it until it is up', async () => {
    const { clock, store, dedup } = unopened()
    store.around = unavailable
    const outcome = dedup.process({ key: 'a' }, () => {})
    await elapse(clock, 3000)
    expect(dedup.outage).toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE' })
    store.works()
    await elapse(clock, 5000)
    expect((await outcome).status).toBe('completed')
  })

  test('while it is down, arriving messages do not ask it: one probe at a time does', async () => {
    const { clock, store, dedup } = unopened()
    store.around = unavailable
    for (let count = 0; count < 200; count += 1) {
      void dedup.process({ key: String(count) }, () => {})
      await elapse(clock, 10)
    }
    expect(store.callsOf('open').length).toBeLessThan(10)
  })

  test('messages that come while the store is tested do not overtake those that came before', async () => {
    const { store, dedup } = unopened()
    const started: string[] = []
    const process = (key: string) => dedup.process({ key }, () => void started.push(key))
    const release = Promise.withResolvers<void>()
    store.around = async (call, apply) => {
      if (call.operation === 'claim') await release.promise
      return apply()
    }
    const first = process('first')
    await settle()
    const second = process('second')
    release.resolve()
    await Promise.all([first, second])
    expect(started).toEqual(['first', 'second'])
  })
})

describe('findings', () => {
  test('an error is refused with the remedy and the way to accept it', async () => {
    const { dedup } = unopened({ findings: [finding('error')] })
    await expect(dedup.open()).rejects.toMatchObject({
      code: 'ONCEMQ_STORE_UNSAFE',
      message: "scripted: found it; change it. If that is what you want, set acceptFindings: ['keys-may-go']",
    })
  })

  test('an error that is accepted, a warning and an information are told and go through', async () => {
    for (const [severity, acceptFindings] of [
      ['error', ['keys-may-go']],
      ['warning', []],
      ['info', []],
    ] as const) {
      const { dedup } = unopened({ findings: [finding(severity)], acceptFindings: [...acceptFindings] })
      const told: unknown[] = []
      dedup.on('finding', (event) => told.push(event))
      await dedup.open()
      expect(told).toEqual([finding(severity)])
    }
  })
})

describe('the self-test', () => {
  test.each([
    ['claims every key for everyone', 'claim', [{ status: 'granted', epoch: 1, attempt: 1 }], 'busy'],
    ['holds every key for done', 'claim', [{ status: 'done' }], 'granted'],
    ['loses every completion', 'update', ['lost'], 'ok'],
  ] as const)('notices a store that %s', async (_, operation, answers, expected) => {
    const { store, dedup } = unopened()
    store.around = (call, apply) => (call.operation === operation ? Promise.resolve(answers) : apply())
    await expect(dedup.open()).rejects.toMatchObject({
      code: 'ONCEMQ_STORE_BROKEN',
      message: expect.stringContaining(`expected '${expected}'`) as string,
    })
  })

  test('leaves no record behind', async () => {
    const { store, dedup } = unopened()
    await dedup.open()
    expect(store.memory.size).toBe(0)
  })
})

describe('a shared store', () => {
  test('is closed by the last one that uses it', async () => {
    const { store, dedup, another } = unopened()
    const other = another()
    await Promise.all([dedup.open(), other.open()])
    await dedup.close()
    expect(store.callsOf('close')).toHaveLength(0)
    await other.close()
    expect(store.callsOf('close')).toHaveLength(1)
  })

  test('is closed also after an opening that was repeated', async () => {
    const { store, dedup } = unopened()
    store.around = (call, apply) => (call.operation === 'claim' ? unavailable() : apply())
    await expect(dedup.open()).rejects.toThrow('down')
    store.works()
    await dedup.open()
    await dedup.close()
    expect(store.callsOf('close')).toHaveLength(1)
  })

  test('is closed also when it was refused', async () => {
    const { store, dedup } = unopened({ findings: [finding('error')] })
    await expect(dedup.open()).rejects.toThrow('found it')
    await dedup.close()
    expect(store.callsOf('close')).toHaveLength(1)
  })

  test('is left alone by one that never used it', async () => {
    const { store, dedup } = unopened()
    await dedup.close()
    expect(store.calls).toEqual([])
  })
})

test('expired records are swept also when the store was down at first', async () => {
  const { clock, store } = unopened()
  const sweeping = Object.assign(store, { swept: 0, sweep: async () => (sweeping.swept += 1) })
  const dedup = createDeduplicator({ store: sweeping, consumerGroup: GROUP, clock, sweepEveryMs: 1000 })
  store.around = (call, apply) => (call.operation === 'claim' ? unavailable() : apply())
  const outcome = dedup.process({ key: 'a' }, () => {})
  await elapse(clock, 1000)
  store.works()
  await elapse(clock, 10_000)
  expect((await outcome).status).toBe('completed')
  expect(sweeping.swept).toBeGreaterThan(3)
})

test('a claim does not overtake one that waited for the store to be open', async () => {
  const { dedup } = unopened()
  const granted: string[] = []
  const claim = async (name: string): Promise<void> => {
    const outcome = await dedup.claim({ key: 'a' })
    if (outcome.status !== 'granted') return
    granted.push(name)
    await outcome.claim.release('failed')
  }
  const first = claim('first')
  await dedup.open()
  await Promise.all([first, claim('second')])
  expect(granted).toEqual(['first', 'second'])
})
