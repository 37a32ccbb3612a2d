import { describe, expect, test } from 'vitest'

test('passes', () => {
  expect(1).toBe(1)
})

test('has no server', ({ skip }) => {
  skip('no server was found')
  expect.unreachable()
})

describe('a suite that says why', { skip: true, meta: { skipReason: 'not on this platform' } }, () => {
  test.each([1, 2])('%i', () => expect.unreachable())
})
