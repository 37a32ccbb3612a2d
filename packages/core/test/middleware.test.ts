import { expect, test } from 'vitest'

import { compose } from '../src/broker/index.ts'
import type { Middleware } from '../src/index.ts'

type Step = Middleware<string, string>

function traced(name: string, trail: string[]): Step {
  return async (_, next) => {
    trail.push(`${name} in`)
    const outcome = await next()
    trail.push(`${name} out`)
    return `${name}(${outcome})`
  }
}

test('the first registered is outermost', async () => {
  const trail: string[] = []
  const dispatch = compose([traced('a', trail), traced('b', trail)], async (message) => `handled ${message}`)
  expect(await dispatch('m')).toBe('a(b(handled m))')
  expect(trail).toEqual(['a in', 'b in', 'b out', 'a out'])
})

test('without any, the innermost is all', async () => {
  expect(await compose<string, string>([], async (message) => message)('m')).toBe('m')
})

test('what does not call next keeps the rest from running', async () => {
  const dispatch = compose<string, string>([async () => 'stopped'], () => Promise.reject(new Error('ran')))
  expect(await dispatch('m')).toBe('stopped')
})

test('a throw reaches those around it', async () => {
  const catching: Step = (_, next) => next().catch((error: unknown) => `caught ${String(error)}`)
  const dispatch = compose([catching], () => Promise.reject(new Error('no')))
  expect(await dispatch('m')).toBe('caught Error: no')
})

test('a synchronous throw is a rejection too', async () => {
  const dispatch = compose<string, string>([], () => {
    throw new Error('no')
  })
  await expect(dispatch('m')).rejects.toThrow('no')
})

test('a second next() throws, also beside the first and after it, and processes nothing', async () => {
  let handled = 0
  async function twice(_: string, next: () => Promise<string>): Promise<string> {
    return (await Promise.allSettled([next(), next()])).map(({ status }) => status).join()
  }
  const again: Step = async (_, next) => (await next()) + (await next())
  const innermost = async (): Promise<string> => String(++handled)
  expect(await compose([twice], innermost)('m')).toBe('fulfilled,rejected')
  await expect(compose([again], innermost)('m')).rejects.toMatchObject({
    code: 'ONCEMQ_NEXT_TWICE',
    message: expect.stringContaining("middleware 'again'") as string,
  })
  expect(handled).toBe(2)
})

test('one composition serves many messages at a time', async () => {
  const dispatch = compose<number, number>(
    [async (_, next) => (await next()) + 1],
    async (message) => message * 2,
  )
  expect(await Promise.all([1, 2, 3].map((message) => dispatch(message)))).toEqual([3, 5, 7])
})
