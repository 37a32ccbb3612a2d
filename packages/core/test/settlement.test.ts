import { expect, test } from 'vitest'

import { OncemqError } from '../src/index.ts'
import { settlementOf } from '../src/broker/index.ts'
import type { ProcessOutcome } from '../src/index.ts'
import type { Settlement } from '../src/broker/index.ts'

const error = new OncemqError('ONCEMQ_STORE_UNAVAILABLE', 'down')
const retry = { firstMs: 1000, factor: 2, maxMs: 5000 }
const policy = { retry, onUnconfirmed: 'ack' } as const

// The table of what happens to a delivery. A row that is missing here has no settlement at all.
const table: readonly (readonly [ProcessOutcome, Settlement])[] = [
  [{ status: 'completed', result: undefined, protected: true }, { action: 'ack' }],
  [{ status: 'completed', result: undefined, protected: false }, { action: 'ack' }],
  [{ status: 'duplicate', result: undefined }, { action: 'ack' }],
  [{ status: 'unconfirmed', result: undefined }, { action: 'ack' }],
  [{ status: 'lost' }, { action: 'retry', delayMs: 1000, reason: 'lost' }],
  [
    { status: 'busy', retryAfterMs: 700 },
    { action: 'retry', delayMs: 700, reason: 'busy' },
  ],
  [
    { status: 'store-down', error },
    { action: 'hold', reason: 'store-down' },
  ],
  [
    { status: 'store-refused', error },
    { action: 'hold', reason: 'store-refused' },
  ],
  [
    { status: 'early', error, retryAfterMs: 900 },
    { action: 'retry', delayMs: 900, reason: 'early' },
  ],
  [{ status: 'closed', error }, { action: 'give-back' }],
  [
    { status: 'transaction-conflict', error, attempt: 2 },
    { action: 'retry', delayMs: 2000, reason: 'conflict' },
  ],
  [
    { status: 'failed', final: false, error, attempt: 1 },
    { action: 'retry', delayMs: 1000, reason: 'failed' },
  ],
  [
    { status: 'failed', final: false, error, attempt: 3 },
    { action: 'retry', delayMs: 4000, reason: 'failed' },
  ],
  [
    { status: 'failed', final: false, error, attempt: 30_000 },
    { action: 'retry', delayMs: 5000, reason: 'failed' },
  ],
  [
    { status: 'failed', final: true, error, attempt: 1, reason: 'permanent' },
    { action: 'dead-letter', reason: 'permanent' },
  ],
  [
    { status: 'failed', final: true, error, attempt: 16, reason: 'attempts' },
    { action: 'dead-letter', reason: 'attempts' },
  ],
  [
    { status: 'failed', final: true, error, attempt: 1, reason: 'transaction-ended' },
    { action: 'dead-letter', reason: 'transaction-ended' },
  ],
  ...(
    [
      'missing-key',
      'invalid-key',
      'conflict',
      'attempts',
      'unreadable',
      'too-early',
      'impossible',
      'missing-row',
    ] as const
  ).map(
    (reason) =>
      [
        { status: 'rejected', reason, error, attempt: 0 },
        { action: 'dead-letter', reason },
      ] as const,
  ),
]

test.each(table)('%j', (outcome, settlement) => {
  expect(settlementOf(outcome, policy)).toEqual(settlement)
})

test('an unconfirmed completion is requeued where that is asked for', () => {
  const outcome = { status: 'unconfirmed', result: undefined } as const
  const settlement = settlementOf(outcome, { retry, onUnconfirmed: 'retry' })
  expect(settlement).toEqual({ action: 'retry', delayMs: 1000, reason: 'unconfirmed' })
})

test('every status of an outcome is in the table', () => {
  const statuses = new Set(table.map(([{ status }]) => status))
  const all = {
    completed: 0,
    unconfirmed: 0,
    lost: 0,
    failed: 0,
    duplicate: 0,
    busy: 0,
    rejected: 0,
    'store-down': 0,
    'store-refused': 0,
    'transaction-conflict': 0,
    early: 0,
    closed: 0,
  } satisfies Record<ProcessOutcome['status'], 0>
  expect([...statuses].toSorted()).toEqual(Object.keys(all).toSorted())
})
