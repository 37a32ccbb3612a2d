// What a managed consumer does when its client answers nothing any more.
import { expect, test } from 'vitest'

import { type MessageSource, ManagedConsumer, type Session } from '../src/broker/index.ts'
import { elapse } from './elapse.ts'
import { setUp } from './set-up.ts'

const never = (): Promise<never> => new Promise(() => {})
const deaf: Session = { pause: never, resume: never, stop: never, close: never }

test('close takes its time and three seconds, with a client that never answers', async () => {
  const { dedup, clock } = await setUp()
  const source: MessageSource = { open: async () => deaf, close: never }
  const consumer = await ManagedConsumer.start({
    dedup,
    source,
    key: () => 'a',
    middlewares: [],
    retry: { firstMs: 1000, factor: 2, maxMs: 60_000 },
    concurrency: 1,
    window: 1,
    holdMs: 1000,
    handler: async () => undefined,
  })
  let isClosed = false
  void consumer.close({ timeoutMs: 2000 }).then(() => (isClosed = true))
  await elapse(clock, 3900)
  expect(isClosed).toBe(false)
  await elapse(clock, 1200)
  expect(isClosed).toBe(true)
})
