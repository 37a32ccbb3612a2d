import { describe, expect, test } from 'vitest'
import { createDeduplicator, eventId, MemoryStore } from '../src/index.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

describe('eventId', () => {
  test('is the same for the same parts, on every machine, and has the shape of a UUID of version 8', () => {
    // Written down once: producers of other versions must make the same id.
    expect(eventId('order', '42', 'paid')).toBe(eventId('order', '42', 'paid'))
    expect(eventId('order', '42', 'paid')).toBe('2312dbda-85e8-8d86-9158-1c204875982c')
    for (let count = 0; count < 200; count += 1) expect(eventId('order', `${count}`)).toMatch(UUID)
  })

  test('keeps parts apart, whatever stands in them', () => {
    const ids = [
      eventId('a', 'bc'),
      eventId('ab', 'c'),
      eventId('abc'),
      eventId('a', 'b', 'c'),
      eventId('1:a', 'bc'),
      eventId('A', 'bc'),
      eventId('a', 'bc '),
      eventId('a', 'b\u0000c'),
      eventId('\u00E9'),
      eventId('e\u0301'),
      eventId('\uD800'),
      eventId('\uD801'),
    ]
    expect(new Set(ids).size).toBe(ids.length)
  })

  test.each([
    ['no parts', []],
    ['an empty part', ['order', '']],
    ['what stands for no id', ['order', 'undefined']],
    ['a number', ['order', 42]],
    ['text that was read with a loss', ['order', 'a\uFFFD']],
  ])('refuses %s', (_, parts) => {
    const call = () => eventId(...(parts as [string]))
    expect(call).toThrow(expect.objectContaining({ code: 'ONCEMQ_KEY_INVALID' }))
  })
})

describe('childId', () => {
  async function childOf(key: string | undefined, source: string, group = 'billing') {
    const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: group })
    let id: string | undefined
    const outcome = await dedup.process({ key, source }, (context) => {
      const copy = { ...context }
      id = context.childId('receipt')
      expect([copy.childId('receipt'), context.childId('other') === id]).toEqual([id, false])
    })
    await dedup.close()
    return { id, outcome }
  }

  test('is the same for each start of one delivery, and its own for each key, source and group', async () => {
    const [first, again] = [await childOf('order-1', 'orders'), await childOf('order-1', 'orders')]
    expect(first.id).toMatch(UUID)
    // Written down once, too: a handler may run again on a worker of another version.
    expect(first.id).toBe('2743cab1-0de9-8663-bfc5-092ab1c97cde')
    expect(again.id).toBe(first.id)
    const others = [
      await childOf('order-2', 'orders'),
      await childOf('order-1', 'copies'),
      await childOf('order-1', 'orders', 'shipping'),
    ]
    expect(new Set([first.id, ...others.map(({ id }) => id)]).size).toBe(4)
  })

  test('is refused without a key, since a second start could not find it again', async () => {
    const { outcome } = await childOf(undefined, 'orders')
    expect(outcome).toMatchObject({ status: 'failed', error: { code: 'ONCEMQ_KEY_MISSING' } })
  })
})
