import { describe, expect, test } from 'vitest'

import { placeOf, publicText, withoutSecrets } from '../src/observe/public-text.ts'

const SECRET = 's3cr3t'

describe('what is left out of a text of others', () => {
  test.each([
    [`connect to amqp://shop:${SECRET}@broker:5672 failed`, 'connect to amqp://***@broker:5672 failed'],
    [`amqps://:${SECRET}@[::1]/vhost`, 'amqps://***@[::1]/vhost'],
    [`mongodb+srv://a:${SECRET}@x@host/db`, 'mongodb+srv://***@host/db'],
    [`postgres://host/db?user=a&password=${SECRET}&ssl=1`, 'postgres://host/db?user=a&password=***&ssl=1'],
    [`login failed: password: ${SECRET}, host h`, 'login failed: password: ***, host h'],
    ['no route to amqp://broker/a@b', 'no route to amqp://broker/a@b'],
  ])('%s', (text, shown) => {
    expect(withoutSecrets(text)).toBe(shown)
  })
})

test.each(['a.', '://a', 'password ', 'token= '])('a text of many %j holds nobody up', (part) => {
  const begun = performance.now()
  withoutSecrets(part.repeat(40_000))
  expect(performance.now() - begun).toBeLessThan(1000)
})

test('an error of a client is its name, its code and its message, cut', () => {
  const error = Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' })
  expect(publicText(error)).toBe('AggregateError ECONNREFUSED')
  expect(publicText(new Error(`amqp://a:${SECRET}@h: ${'x'.repeat(1000)}`))).toMatch(
    /^Error: amqp:\/\/\*\*\*@h: x{286}$/,
  )
  expect(publicText(SECRET)).toBe('string')
})

describe('an error of a handler', () => {
  class CardRefused extends Error {}
  CardRefused.prototype.name = 'CardRefused'

  test('is its name, its code and its place, and nothing of its message', () => {
    const error = Object.assign(new CardRefused(`4111 1111\n    at ${SECRET}:1:2`), { code: 'card_declined' })
    const text = placeOf(error)
    expect(text).toMatch(/^CardRefused card_declined( at [^ ]*public-text\.test\.ts:\d+:\d+)?$/)
    expect(text).not.toContain(SECRET)
  })

  test('that is none, or cannot be read, has a kind all the same', () => {
    expect(placeOf(SECRET)).toBe('string')
    const { proxy, revoke } = Proxy.revocable(new Error('x'), {})
    revoke()
    expect(placeOf(proxy)).toMatch(/^Error/)
  })

  test('whose message was changed has no place, since its stack cannot be told from it', () => {
    const error = new Error(`first\n    at ${SECRET}:1:2`)
    void error.stack
    error.message = 'second'
    expect(placeOf(error)).toBe('Error')
  })
})
