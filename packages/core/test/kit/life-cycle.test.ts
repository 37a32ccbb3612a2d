import { describe, expect, test } from 'vitest'
import { LifeCycle } from '../../src/store/index.ts'

/** A life cycle whose connecting and ending the test settles by hand. */
function handled() {
  const connecting: PromiseWithResolvers<string>[] = []
  const ended: string[] = []
  const life = new LifeCycle<string>({
    name: 'ToyStore',
    connect() {
      const next = Promise.withResolvers<string>()
      connecting.push(next)
      return next.promise
    },
    end: (opened) => void ended.push(opened),
  })
  return { life, connecting, ended }
}

const CLOSED: unknown = expect.objectContaining({
  code: 'ONCEMQ_CLOSED',
  message: 'ToyStore: expected an open store, received one that is not; await open() before its use',
})

describe('a life cycle', () => {
  test('connects once for all that open at once, and is used only when that is done', async () => {
    const { life, connecting } = handled()
    const opening = [life.open(), life.open()]
    expect(() => life.opened).toThrow(CLOSED)
    connecting[0]?.resolve('first')
    expect(await Promise.all(opening)).toEqual(['first', 'first'])
    expect(await life.open()).toBe('first')
    expect(life.opened).toBe('first')
    expect(connecting).toHaveLength(1)
  })

  test('connects again after a failure, which it throws as it is', async () => {
    const { life, connecting, ended } = handled()
    const failure = new Error('refused')
    const opening = life.open()
    connecting[0]?.reject(failure)
    await expect(opening).rejects.toBe(failure)
    const again = life.open()
    connecting[1]?.resolve('second')
    expect(await again).toBe('second')
    expect(ended).toEqual([])
  })

  test('ends what is open once, and opens again', async () => {
    const { life, connecting, ended } = handled()
    const opening = life.open()
    connecting[0]?.resolve('first')
    await opening
    await Promise.all([life.close(), life.close()])
    expect(ended).toEqual(['first'])
    expect(() => life.opened).toThrow(CLOSED)
    const again = life.open()
    connecting[1]?.resolve('second')
    await again
    expect(life.opened).toBe('second')
  })

  test('closed while it opens, it ends what comes late, and does not keep it', async () => {
    const { life, connecting, ended } = handled()
    const opening = life.open()
    const closing = life.close()
    connecting[0]?.resolve('late')
    await Promise.all([opening, closing])
    expect(ended).toEqual(['late'])
    expect(() => life.opened).toThrow(CLOSED)
  })

  test('closed and opened again while it opens, it keeps the second alone', async () => {
    const { life, connecting, ended } = handled()
    const first = life.open()
    const closing = life.close()
    const second = life.open()
    connecting[1]?.resolve('second')
    await second
    connecting[0]?.resolve('first')
    await Promise.all([first, closing])
    expect(life.opened).toBe('second')
    expect(ended).toEqual(['first'])
  })

  test('a close beside another one resolves when both are done', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const life = new LifeCycle({ name: 'ToyStore', connect: async () => 'it', end: () => promise })
    await life.open()
    const order: string[] = []
    const closing = [life.close(), life.close()].map((close) => close.then(() => order.push('closed')))
    order.push('ended')
    resolve()
    await Promise.all(closing)
    expect(order).toEqual(['ended', 'closed', 'closed'])
  })

  test('closes without a word where opening failed, and tells when ending fails', async () => {
    const { life, connecting } = handled()
    const opening = life.open()
    const closing = life.close()
    connecting[0]?.reject(new Error('refused'))
    await expect(opening).rejects.toThrow('refused')
    await closing

    const failing = new LifeCycle({
      name: 'ToyStore',
      connect: async () => 'it',
      end: () => Promise.reject(new Error('no goodbye')),
    })
    await failing.open()
    await expect(failing.close()).rejects.toThrow('no goodbye')
    await failing.close()
  })
})
