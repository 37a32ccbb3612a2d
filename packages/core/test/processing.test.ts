// What a managed consumer's code does to its message, and who sees it.
import { describe, expect, test } from 'vitest'

import type { HeldMessage } from '../src/broker/index.ts'
import { processing } from '../src/broker/processing.ts'
import type { Deduplicator, Middleware, ProcessOutcome } from '../src/index.ts'
import { PermanentError } from '../src/index.ts'
import { setUp } from './set-up.ts'

interface Text {
  text: string
}

function heldText() {
  const held = {
    message: { text: 'first' },
    renewed: 0,
    renew() {
      held.renewed += 1
      held.message = { text: 'first' }
    },
  }
  return held as typeof held & HeldMessage<Text>
}

async function attempts(
  results: readonly (Error | undefined)[],
  middlewares: Middleware<Text, ProcessOutcome>[] = [],
) {
  const { dedup } = await setUp()
  const warnings: string[] = []
  dedup.on('warning', ({ message }) => void warnings.push(message))
  const held = heldText()
  const seen: string[] = []
  const left = [...results]
  const process = processing<undefined, Text>({
    dedup,
    middlewares,
    async handler({ message }) {
      seen.push(message.text)
      message.text = 'changed'
      const result = left.shift()
      if (result !== undefined) throw result
      return undefined
    },
  })
  for (const _ of results) await process(held, { key: 'a' })
  return { seen, warnings, renewed: held.renewed }
}

const failure = new Error('not yet')
const marking: Middleware<Text, ProcessOutcome> = (message, next) => {
  message.text += ', seen'
  return next()
}

test('a handler that fails a third time is told by its kind and place, and not by its message', async () => {
  const thrown = (): Error => Object.assign(new RangeError('card 4111'), { code: '23505' })
  const { warnings } = await attempts([...[1, 2, 3, 4].map(thrown), undefined])
  expect(warnings).toEqual([
    expect.stringMatching(
      /^a handler keeps failing; .* until attemptsMax: RangeError 23505 at .*\.test\.ts:\d+:\d+$/,
    ),
  ])
})

test('one that fails twice is not, nor one that fails for good: its dead letter is told', async () => {
  expect((await attempts([failure, failure, undefined])).warnings).toEqual([])
  expect((await attempts([new PermanentError('never')])).warnings).toEqual([])
})

describe('each attempt begins with the message as it first came', () => {
  test('after a failure', async () => {
    expect((await attempts([failure, failure, undefined])).seen).toEqual(['first', 'first', 'first'])
  })

  test('and what a middleware has made of it', async () => {
    const { seen } = await attempts([failure, failure, undefined], [marking])
    expect(seen).toEqual(['first, seen', 'first, seen', 'first, seen'])
  })

  test('after a middleware that threw', async () => {
    let calls = 0
    const throwing: Middleware<Text, ProcessOutcome> = (message, next) => {
      message.text += `, ${++calls}`
      if (calls === 1) throw failure
      return next()
    }
    expect((await attempts([undefined, undefined], [throwing])).seen).toEqual(['first, 2'])
  })

  test('it costs nothing where there is no further one', async () => {
    expect((await attempts([undefined])).renewed).toBe(0)
    expect((await attempts([new PermanentError('no')])).renewed).toBe(1)
  })

  test('in each run of one transaction', async () => {
    const { dedup } = await setUp()
    const held = heldText()
    const seen: string[] = []
    const twice: Pick<Deduplicator, 'process'> = {
      async process(delivery, handler) {
        return dedup.process(delivery, async (context) => {
          await handler(context)
          return handler(context)
        })
      },
    }
    const process = processing<undefined, Text>({
      dedup: Object.assign(Object.create(dedup) as typeof dedup, twice),
      middlewares: [],
      async handler({ message }) {
        seen.push(message.text)
        message.text = 'changed'
        return undefined
      },
    })
    await process(held, { key: 'a' })
    expect(seen).toEqual(['first', 'first'])
  })
})
