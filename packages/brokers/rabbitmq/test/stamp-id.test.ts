import { eventId } from '@oncemq/core'
import { expect, test } from 'vitest'
import { stampId } from '../src/index.ts'

test('the same options carry the same id, however often they are made', () => {
  const id = eventId('order', '42', 'paid')
  const options = stampId({ persistent: true, headers: { a: 1 } }, id)
  expect(options).toEqual({ persistent: true, headers: { a: 1 }, messageId: id })
  expect(stampId(options, id)).toEqual(options)
})

test.each([
  ['a number', {}, 42],
  ['an empty id', {}, ''],
  ['an id that is no text', {}, '\uD800'],
  ['an id that was read with a loss', {}, 'a\uFFFD'],
  ['an id of more bytes than AMQP takes', {}, '\u00E9'.repeat(128)],
  ['options of another event', { messageId: 'order-41' }, 'order-42'],
])('%s is refused', (_, options, id) => {
  expect(() => stampId(options, id as string)).toThrow(
    expect.objectContaining({ code: 'ONCEMQ_OPTION_INVALID' }),
  )
})
