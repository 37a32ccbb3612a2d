// The rehearsal of users' handlers: what it plays, and what it must not miss.
import { expect, test } from 'vitest'
import type { HandlerContext } from '../src/index.ts'
import { rehearse } from '../src/testing/index.ts'

interface Order {
  readonly id: string
}

const message = (): Order => ({ id: 'order-1' })
const effects = {
  charge: async (_order: Order, _key?: string) => 'receipt',
  mail: async (_to: string, _id?: string) => undefined,
}

test('tells each effect that comes twice, and where', async () => {
  const { scenes, twice } = await rehearse({
    message,
    effects,
    handler: async (order, _context, { charge, mail }) => {
      await charge(order)
      await mail('ada')
    },
  })
  expect(scenes.map(({ name }) => name)).toEqual([
    'sent once',
    'sent twice',
    'two workers at once',
    'the process ends after charge',
    'charge is done, its answer is lost',
    'the process ends after mail',
    'mail is done, its answer is lost',
  ])
  const unsafe = { times: 2, carriesKey: false }
  expect(twice).toEqual([
    { scene: 'the process ends after charge', effect: 'charge', ...unsafe },
    { scene: 'charge is done, its answer is lost', effect: 'charge', ...unsafe },
    { scene: 'the process ends after mail', effect: 'charge', ...unsafe },
    { scene: 'the process ends after mail', effect: 'mail', ...unsafe },
    { scene: 'mail is done, its answer is lost', effect: 'charge', ...unsafe },
    { scene: 'mail is done, its answer is lost', effect: 'mail', ...unsafe },
  ])
  const first = { charge: 1, mail: 1 }
  expect(scenes.slice(0, 3).map((scene) => scene.effects)).toEqual([first, first, first])
})

test('knows the effects that hand on the key, or an id made of it, in whatever they are given', async () => {
  const { twice } = await rehearse({
    message,
    effects: { ...effects, put: (_request: object) => undefined },
    handler: async (order, { key, childId }: HandlerContext, { charge, mail, put }) => {
      await charge(order, key)
      await mail('ada', childId('receipt'))
      put({ headers: [{ 'Idempotency-Key': `pay-${key}` }] })
    },
  })
  expect(twice.length).toBeGreaterThan(6)
  expect(twice.filter(({ carriesKey }) => !carriesKey)).toEqual([])
})

test('an effect that a handler does several times by itself does not count as repeated', async () => {
  const { twice, scenes } = await rehearse({
    message,
    effects,
    handler: async (_order, { key }, { mail }) => {
      await mail('ada', key)
      await mail('bob')
    },
  })
  expect(scenes.map(({ name }) => name)).toContain('the process ends after mail (call 2)')
  expect(new Set(twice.map(({ times }) => times))).toEqual(new Set([3, 4]))
  expect(twice.every(({ carriesKey }) => !carriesKey)).toBe(true)
})

test('a handler that does not wait for what it does has died all the same', async () => {
  const done: string[] = []
  await rehearse({
    message,
    effects: { first: () => done.push('first'), second: () => done.push('second') },
    handler: (_order, _context, { first, second }) => {
      first()
      second()
    },
  })
  // Seven scenes, in four of which something goes wrong; where it does at the first, the second is not done.
  expect(done.filter((each) => each === 'first').length).toBe(7 + 4)
  expect(done.filter((each) => each === 'second').length).toBe(7 + 2)
})

test('what the handler throws by itself is thrown', async () => {
  const broken = rehearse({
    message,
    effects,
    handler: () => {
      throw new Error('it does not work at all')
    },
  })
  await expect(broken).rejects.toThrow('it does not work at all')
})

test('time that a handler takes is real, and does not end its lease', async () => {
  const { twice } = await rehearse({
    message,
    effects: { wait: () => new Promise((resolve) => setTimeout(resolve, 20)) },
    handler: async (_order, { signal }, { wait }) => {
      await wait()
      signal.throwIfAborted()
    },
  })
  expect(twice.map(({ times }) => times)).toEqual([2, 2])
})

const noWork = (): void => undefined

test.each([
  [{ effects, handler: noWork }, /message: expected a function/],
  [{ message, handler: noWork }, /effects: expected an object of functions/],
  [{ message, effects: { charge: 'no' }, handler: noWork }, /effects\.charge: expected a function/],
  [{ message, effects, handler: 'no' }, /handler: expected a function/],
  [{ message, effects, handler: noWork, scenes: 3 }, /scenes/],
])('bad options %# are refused', async (options, error) => {
  await expect(rehearse(options as never)).rejects.toThrow(error)
})
