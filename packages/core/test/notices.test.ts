import { afterEach, describe, expect, test, vi } from 'vitest'

import { createDeduplicator } from '../src/index.ts'
import type { Logger } from '../src/index.ts'
import { StoreError } from '../src/store/index.ts'
import { VirtualClock } from '../src/testing/index.ts'
import { EventHub } from '../src/observe/event-hub.ts'
import { pageAt } from '../src/pages.ts'
import { settle } from './elapse.ts'
import { ScriptedStore } from './scripted-store.ts'

afterEach(() => vi.restoreAllMocks())

const down = new StoreError('ONCEMQ_STORE_UNAVAILABLE', 'no connection')

/** A hub, and the warnings of the process, instead of its standard error. */
function hub(logger?: Logger) {
  const warned: string[] = []
  vi.spyOn(process, 'emitWarning').mockImplementation((warning) => void warned.push(String(warning)))
  const clock = new VirtualClock()
  return { warned, clock, hub: new EventHub('billing', logger, clock) }
}

const MINUTE_MS = 60_000

describe('without a logger', () => {
  test('what a person must know is a warning of the process, at once, and not each time', () => {
    const { hub: events, warned } = hub()
    const letter = { source: 'orders', reason: 'attempts', attempt: 16, errorName: 'TypeError' }
    for (let count = 0; count < 3; count += 1) {
      events.emit('outage', () => ({ error: down }))
      events.emit('deadLettered', () => letter)
      events.emit('unprotected', () => ({ key: undefined, reason: 'missing-key' }))
      events.emit('warning', () => ({ message: 'one and the same' }))
    }
    expect(warned).toEqual([
      'billing: the store is down; messages are held until it is back: no connection',
      "billing: a message was dead-lettered from 'orders' (attempts, attempt 16, TypeError); its headers " +
        `say why, see ${pageAt('operations', 'failed-messages-and-replays')}`,
      'billing: a message without a key runs without protection; ' +
        'stamp an id at the producer, or set onMissingKey',
      'billing: one and the same',
    ])
  })

  test('what goes on is counted, and said again ever more rarely', () => {
    const { clock, hub: events, warned } = hub()
    for (let minute = 0; minute < 90; minute += 1) {
      events.emit('warning', () => ({ message: 'no' }))
      clock.advance(MINUTE_MS)
    }
    // At once, and after 1, 4, 16 and 60 minutes more.
    expect(warned).toEqual([
      'billing: no',
      'billing: no',
      'billing: no (and 2 more like this)',
      'billing: no (and 15 more like this)',
      'billing: no (and 59 more like this)',
    ])
  })

  test('after a rest of an hour it is said at once, and a minute after that', () => {
    const { clock, hub: events, warned } = hub()
    for (let count = 0; count < 3; count += 1) {
      events.emit('warning', () => ({ message: 'no' }))
      clock.advance(61 * MINUTE_MS)
    }
    expect(warned).toEqual(['billing: no', 'billing: no', 'billing: no'])
    for (let count = 0; count < 2; count += 1) events.emit('warning', () => ({ message: 'no' }))
    expect(warned).toHaveLength(4)
    clock.advance(MINUTE_MS)
    expect(warned).toHaveLength(5)
  })

  test('an outage that was told ends with its end, at once; one that comes and goes is counted', () => {
    const { clock, hub: events, warned } = hub()
    const goDownAndUp = () => {
      events.emit('outage', () => ({ error: down }))
      events.emit('recovered', () => ({ downMs: 2000 }))
    }
    goDownAndUp()
    const [begun, over] = warned
    expect(over).toBe('billing: the store is back after 2 s; the messages that were held go on')
    goDownAndUp()
    events.emit('outage', () => ({ error: down }))
    expect(warned).toHaveLength(2)
    clock.advance(MINUTE_MS)
    // It is down: that is what stands there at last.
    expect(warned).toEqual([begun, over, `${begun} (and 2 more like this)`])
    events.emit('recovered', () => ({ downMs: 2000 }))
    expect(warned.at(-1)).toBe(over)
  })

  test('what is counted and not said yet is said at close, once, and what comes later at once', () => {
    const { clock, hub: events, warned } = hub()
    for (let count = 0; count < 3; count += 1) events.emit('warning', () => ({ message: 'no' }))
    events.close()
    const said = ['billing: no', 'billing: no (and 1 more like this)']
    expect(warned).toEqual(said)
    clock.advance(MINUTE_MS)
    expect(warned).toEqual(said)
    for (let count = 0; count < 2; count += 1) events.emit('warning', () => ({ message: 'no' }))
    expect(warned).toEqual([...said, 'billing: no', 'billing: no'])
  })

  test('findings are told by their sentences, but for mere information', () => {
    const { hub: events, warned } = hub()
    for (const severity of ['error', 'warning', 'info'] as const) {
      events.emit('finding', () => ({
        severity,
        code: severity,
        found: `Found ${severity}.`,
        remedy: 'Do it.',
      }))
    }
    expect(warned).toEqual(['billing: Found error. Do it.', 'billing: Found warning. Do it.'])
  })

  test('what counters are for is told to nobody, and is not even built', () => {
    const { hub: events, warned } = hub()
    const build = vi.fn<() => { key: string; epoch: number }>(() => ({ key: 'a', epoch: 1 }))
    for (const name of ['completed', 'lost', 'unconfirmed'] as const) events.emit(name, build)
    expect([warned, build.mock.calls.length]).toEqual([[], 0])
  })

  test('a listener hears it instead; removed, it does no longer', () => {
    const { hub: events, warned } = hub()
    const heard: string[] = []
    const remove = events.on('warning', ({ message }) => heard.push(message))
    events.emit('warning', () => ({ message: 'first' }))
    expect([heard, warned]).toEqual([['first'], []])
    remove()
    events.emit('warning', () => ({ message: 'second' }))
    expect([heard, warned]).toEqual([['first'], ['billing: second']])
  })

  test('a flood of different sentences ends, and its later ones are counted', () => {
    const { clock, hub: events, warned } = hub()
    clock.advance(40 * MINUTE_MS)
    for (let count = 0; count < 2000; count += 1) events.emit('warning', () => ({ message: String(count) }))
    expect(warned).toHaveLength(201)
    clock.advance(MINUTE_MS)
    expect(warned.at(-1)).toBe('billing: 1999 (and 1798 more like this)')
  })

  test('sentences that rested for an hour make room for others', () => {
    const { clock, hub: events, warned } = hub()
    for (let count = 0; count < 200; count += 1) events.emit('warning', () => ({ message: String(count) }))
    clock.advance(61 * MINUTE_MS)
    for (const message of ['one', 'another']) events.emit('warning', () => ({ message }))
    expect(warned.slice(200)).toEqual(['billing: one', 'billing: another'])
  })
})

describe('a logger', () => {
  test('gets the same, also where a listener hears it, and the process none', () => {
    const logged: string[] = []
    const { hub: events, warned } = hub({ warn: (message) => logged.push(message) })
    events.on('outage', () => {})
    for (let count = 0; count < 2; count += 1) events.emit('outage', () => ({ error: down }))
    events.emit('unprotected', () => ({ key: 'a', reason: 'store-down' }))
    expect(logged).toEqual([
      'billing: the store is down; messages are held until it is back: no connection',
      'billing: a message runs without protection (store-down)',
    ])
    expect(warned).toEqual([])
  })

  test.each([
    [
      'throws',
      () => {
        throw new Error('no')
      },
    ],
    ['rejects', () => Promise.reject(new Error('no'))],
  ])('that %s disturbs nothing', async (_, warn) => {
    const { hub: events } = hub({ warn })
    const heard: string[] = []
    events.on('warning', ({ message }) => heard.push(message))
    events.emit('warning', () => ({ message: 'x' }))
    await settle()
    expect(heard).toEqual(['x'])
  })

  test('is an option', async () => {
    const clock = new VirtualClock()
    const logged: string[] = []
    const store = new ScriptedStore(clock)
    const logger = { warn: (message: string) => logged.push(message) }
    const dedup = createDeduplicator({ store, consumerGroup: 'billing', clock, sweepEveryMs: 0, logger })
    await dedup.process({ key: undefined }, () => {})
    expect(logged).toHaveLength(1)
    await dedup.close()
  })
})

test('what a terminal or a log viewer would act on is shown, not sent', () => {
  const { hub: events, warned } = hub()
  events.emit('warning', () => ({ message: 'a\r\nb\u001b[31mc\u0000d\u202ee\u2028f\u009bg\u007fh\ud83d' }))
  expect(warned).toEqual(['billing: a\u240d\u240ab\u241b[31mc\u2400d\ufffde\ufffdf\ufffdg\u2421h\ufffd'])
})
