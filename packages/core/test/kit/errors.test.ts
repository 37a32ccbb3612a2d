import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { causes, importPeer, printable, storeError } from '../../src/store/index.ts'

describe('causes', () => {
  test('are the error and what stands behind it, however a library names that', () => {
    for (const link of ['cause', 'original', 'parent', 'driverError', 'previous']) {
      const driver = new Error('of the driver')
      const wrapped = Object.assign(new Error('of the library'), { [link]: driver })
      const outer = new Error('of the handler', { cause: wrapped })
      expect([...causes(outer)]).toEqual([outer, wrapped, driver])
    }
  })

  test('come from another realm too, as jest makes them', () => {
    const driver = new Error('of the driver')
    const foreign = runInNewContext('(cause) => new Error("of another realm", { cause })') as (
      cause: unknown,
    ) => Error
    expect([...causes(foreign(driver))].at(-1)).toBe(driver)
  })

  test('end where they go round, and after eight', () => {
    const error = new Error('round')
    error.cause = error
    expect([...causes(error)]).toEqual([error])
    let deep = new Error('0')
    for (let depth = 1; depth < 20; depth += 1) deep = new Error(`${depth}`, { cause: deep })
    expect([...causes(deep)]).toHaveLength(8)
  })

  test('are not sought in what is no error, and not by a getter that throws', () => {
    const payload = {
      get cause(): unknown {
        throw new Error('a getter of a payload was read')
      },
    }
    expect([...causes(payload)]).toEqual([payload])
    const evil = Object.defineProperty(new Error('evil'), 'cause', {
      get: () => {
        throw new Error('from a getter')
      },
    })
    expect([...causes(evil)]).toEqual([evil])
    for (const thrown of [undefined, null, 'text', 1213]) expect([...causes(thrown)]).toEqual([thrown])
  })
})

describe("a store's error", () => {
  test('says what was expected, what was found and the remedy, and keeps the cause', () => {
    const cause = new Error('driver')
    const parts = { store: 'ToyStore', expected: 'to use the table oncemq', detail: 'ER_FULL 1021', cause }
    const error = storeError(parts, ['ONCEMQ_STORE_FULL', 'no space is left', 'make room'])
    expect(error).toMatchObject({ code: 'ONCEMQ_STORE_FULL', retryable: true, cause })
    expect(error.message).toBe(
      'ToyStore: expected to use the table oncemq, but no space is left (ER_FULL 1021); make room',
    )
  })

  test('has no cause and no detail where there is none', () => {
    const parts = { store: 'ToyStore', expected: 'a row' }
    const error = storeError(parts, ['ONCEMQ_STORE_BROKEN', 'received none', 'look at the proxy'])
    expect(error.message).toBe('ToyStore: expected a row, but received none; look at the proxy')
    expect('cause' in error).toBe(false)
  })

  test('shows no control characters of others', () => {
    expect(printable('a\u001b[31m\r\n\u202eb\u2028 é 漢 😀')).toBe(
      'a\\u{1b}[31m\\u{d}\\u{a}\\u{202e}b\\u{2028} é 漢 😀',
    )
    const error = storeError({ store: 'ToyStore', expected: 'x', detail: 'no\nsuch' }, [
      'ONCEMQ_STORE_CORRUPT',
      'y',
      'z',
    ])
    expect(error.message).toContain('(no\\u{a}such)')
  })
})

describe('a peer', () => {
  const peer = { store: 'ToyStore', name: 'toy-driver', instead: '{ pool }' }

  test('is loaded when it is there', async () => {
    expect(await importPeer(peer, async () => 'the driver')).toBe('the driver')
  })

  test('is named, with what to do, when it is not', async () => {
    const missing = new Error('ERR_MODULE_NOT_FOUND')
    await expect(importPeer(peer, () => Promise.reject(missing))).rejects.toMatchObject({
      code: 'ONCEMQ_STORE_REFUSED',
      message:
        'ToyStore: expected the package toy-driver for { url }, received none that loads; ' +
        'npm install toy-driver, or give { pool }',
      cause: missing,
    })
  })
})
