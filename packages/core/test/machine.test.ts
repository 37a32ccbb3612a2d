import { describe, expect, test } from 'vitest'
import type { MachineOptions } from '../src/index.ts'
import { createDeduplicator, MemoryStore, stateMachine } from '../src/index.ts'
import { Machine } from '../src/strategies/state/machine.ts'
import { LedgerStore } from './transactional-store.ts'
import { VirtualClock } from '../src/testing/index.ts'

const orders = {
  initial: 'pending',
  final: ['done', 'cancelled'],
  transitions: {
    pay: { from: 'pending', to: 'paid' },
    ship: { from: 'paid', to: 'done' },
    cancel: { from: ['pending', 'paid'], to: 'cancelled' },
  },
  onAmbiguous: 'dead-letter',
} as const satisfies MachineOptions

describe('where a row stands', () => {
  test.each([
    ['pay', 'pending', 'here'],
    ['pay', 'paid', 'past'],
    ['pay', 'done', 'past'],
    // It may have been cancelled before or after it was paid.
    ['pay', 'cancelled', 'impossible'],
    ['ship', 'pending', 'behind'],
    ['ship', 'paid', 'here'],
    ['ship', 'done', 'past'],
    ['ship', 'cancelled', 'impossible'],
    ['cancel', 'pending', 'here'],
    ['cancel', 'paid', 'here'],
    ['cancel', 'cancelled', 'past'],
    ['cancel', 'done', 'impossible'],
    ['pay', 'a state of nobody', 'impossible'],
    ['toString', 'pending', 'impossible'],
  ])('%s, from %s: %s', (transition, state, place) => {
    expect(new Machine(orders, false).place(transition, state)).toBe(place)
  })

  test('what may have happened or not is a duplicate where that is asked for, and not with a record', () => {
    const options = { ...orders, onAmbiguous: 'duplicate' } as const
    expect(new Machine(options, false).place('pay', 'cancelled')).toBe('past')
    expect(new Machine(options, true).place('pay', 'cancelled')).toBe('impossible')
  })

  test('two transitions between the same states cannot be told apart afterwards', () => {
    const options = {
      initial: 'open',
      final: ['closed'],
      transitions: { pay: { from: 'open', to: 'closed' }, waive: { from: 'open', to: 'closed' } },
    }
    expect(() => new Machine(options, false)).toThrow(/^onAmbiguous: expected 'duplicate' or 'dead-letter'/)
    expect(new Machine(options, true).place('waive', 'closed')).toBe('impossible')
  })

  test('in a cycle, what is past may come again', () => {
    const options = {
      initial: 'idle',
      final: [],
      transitions: { start: { from: 'idle', to: 'busy' }, stop: { from: 'busy', to: 'idle' } },
    }
    expect(new Machine(options, true).place('start', 'busy')).toBe('behind')
    expect(() => new Machine(options, false)).toThrow(/set record to true$/)
    const note = { ...orders.transitions, note: { from: 'paid', to: 'paid' } }
    expect(() => new Machine({ ...orders, transitions: note }, false)).toThrow(/no way back .* 'paid'/)
  })
})

describe('a machine that cannot work is refused', () => {
  const wrong: readonly [string, Partial<MachineOptions>, RegExp][] = [
    ['no transitions', { transitions: {} }, /^transitions: expected an object of transitions/],
    [
      'a state that cannot be reached',
      { transitions: { ...orders.transitions, revive: { from: 'lost', to: 'done' } } },
      /^transitions: .* received none to 'lost'/,
    ],
    ['a dead end that is not declared', { final: ['done'] }, /^final: .* the dead ends 'cancelled' besides/],
    [
      'a final state that goes on',
      { final: ['done', 'cancelled', 'paid'] },
      /^final: .* lead on from 'paid'/,
    ],
    [
      'a final state that nobody reaches',
      { final: ['done', 'cancelled', 'gone'] },
      /received none to 'gone'/,
    ],
    ['no initial state', { initial: [] }, /^initial: expected 1 to 1000 states/],
    ['an empty state', { initial: '' }, /^initial: expected a state/],
    [
      'a transition without an end',
      { transitions: { pay: { from: 'pending' } } as unknown as MachineOptions['transitions'] },
      /^transitions\.pay\.to: expected a state .* received undefined/,
    ],
  ]

  test.each(wrong)('%s', (_, options, message) => {
    expect(() => new Machine({ ...orders, ...options }, false)).toThrow(message)
  })
})

describe('options', () => {
  const valid = { ...orders, table: 'orders', id: 'id', state: 'status', read: (given: never) => given }

  test.each([
    ['table', 'orders; DROP TABLE orders'],
    ['table', 'a.b.c'],
    ['id', 'id"'],
    ['state', 'state`'],
    ['earlyForMs', 0],
    ['onMissingRow', 'shrug'],
    ['record', 1],
    ['read', 'body'],
    ['misspelt', 1],
  ])('%s: %s is refused', (name, value) => {
    expect(() => stateMachine({ ...valid, [name]: value })).toThrow(
      expect.objectContaining({ code: 'ONCEMQ_OPTION_INVALID' }),
    )
  })

  test('a store without transactions, or without states, is refused', () => {
    const strategy = stateMachine(valid)
    const consumerGroup = 'orders'
    const memory = () => createDeduplicator({ store: new MemoryStore(), consumerGroup, strategy })
    expect(memory).toThrow(/expected a store with transactions for 'stateMachine', received 'memory'/)
    const ledger = () =>
      createDeduplicator({ store: new LedgerStore(new VirtualClock()), consumerGroup, strategy })
    expect(ledger).toThrow(/expected a store that moves states for 'stateMachine'/)
  })
})
