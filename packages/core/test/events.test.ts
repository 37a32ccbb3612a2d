import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, describe, expect, test, vi } from 'vitest'

import { EventHub } from '../src/observe/event-hub.ts'
import { settle } from './elapse.ts'
import { setUp } from './set-up.ts'

afterEach(() => vi.restoreAllMocks())

/** The warnings of the process, instead of its standard error. */
function warnings(): string[] {
  const seen: string[] = []
  vi.spyOn(process, 'emitWarning').mockImplementation((warning) => void seen.push(String(warning)))
  return seen
}

const granted = () => ({ key: 'a', epoch: 1, attempt: 1 })

describe('a listener', () => {
  test('hears its event until it is removed', () => {
    const hub = new EventHub('billing')
    const heard: number[] = []
    const remove = hub.on('granted', ({ epoch }) => heard.push(epoch))
    hub.emit('granted', granted)
    hub.emit('completed', granted)
    remove()
    remove()
    hub.emit('granted', granted)
    expect(heard).toEqual([1])
  })

  test('that throws disturbs neither the delivery nor the next listener, and its error is not told', () => {
    const seen = warnings()
    const hub = new EventHub('billing')
    const heard: unknown[] = []
    hub.on('granted', () => {
      throw Object.assign(new Error('a secret'), { name: 'Bad\u001B' })
    })
    hub.on('granted', ({ key }) => heard.push(key))
    hub.emit('granted', granted)
    expect(heard).toEqual(['a'])
    expect(seen).toEqual(["a listener of 'granted' threw Bad\u241B"])
  })

  test('that is asynchronous and rejects does not end the process', async () => {
    const seen = warnings()
    const hub = new EventHub('billing')
    // As JavaScript and careless types let it be.
    const listener = (): unknown => Promise.reject(new TypeError('a secret'))
    hub.on('granted', listener)
    hub.emit('granted', granted)
    await settle()
    expect(seen).toEqual(["a listener of 'granted' threw TypeError"])
  })
})

test('an event is counted, and built only if someone listens', () => {
  const hub = new EventHub('billing')
  const build = vi.fn<typeof granted>(granted)
  hub.emit('granted', build)
  expect(build).not.toHaveBeenCalled()
  hub.on('granted', () => {})
  hub.emit('granted', build)
  expect(build).toHaveBeenCalledOnce()
  expect(hub.counts()).toMatchObject({ granted: 2, completed: 0 })
})

test('counts that were read do not change afterwards', () => {
  const hub = new EventHub('billing')
  const before = hub.counts()
  hub.emit('granted', granted)
  expect(before.granted).toBe(0)
})

test('diagnostics channels carry each event with its consumer group', async () => {
  const heard: unknown[] = []
  const listener = (event: unknown): void => void heard.push(event)
  subscribe('oncemq:granted', listener)
  try {
    const { dedup } = await setUp()
    await dedup.process({ key: 'a' }, () => {})
  } finally {
    unsubscribe('oncemq:granted', listener)
  }
  expect(heard).toEqual([{ consumerGroup: 'billing', key: 'a', epoch: 1, attempt: 1 }])
})

test('a delivery tells its story, and its duplicate another', async () => {
  const { dedup, told } = await setUp()
  await dedup.process({ key: 'a' }, () => {})
  await dedup.process({ key: 'a' }, () => {})
  expect(told).toEqual([
    { name: 'granted', key: 'a', epoch: 1, attempt: 1 },
    { name: 'completed', key: 'a', epoch: 1 },
    { name: 'duplicate', key: 'a', source: 'memory' },
  ])
  expect(dedup.counts()).toMatchObject({ granted: 1, completed: 1, duplicate: 1 })
})
