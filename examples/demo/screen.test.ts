import { Writable } from 'node:stream'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Screen } from './screen.ts'
import type { Stream } from './screen.ts'

const ESCAPE = '\u001b['
const outcome = { deliveries: 10, charges: 10, cents: 39_080 }

beforeEach(() => {
  vi.stubEnv('FORCE_COLOR', undefined)
  vi.stubEnv('NO_COLOR', undefined)
  vi.stubEnv('TERM', 'xterm-256color')
})
afterEach(() => void vi.unstubAllEnvs())

async function shown(isTTY: boolean): Promise<string> {
  let text = ''
  const stream: Stream = Object.assign(
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        text += chunk.toString()
        done()
      },
    }),
    { isTTY },
  )
  await new Screen(stream).outcome('without oncemq', outcome)
  return text
}

test('a terminal gets colours', async () => {
  expect(await shown(true)).toContain(ESCAPE)
})

test('a pipe gets none', async () => {
  const text = await shown(false)
  expect(text).toContain('10 deliveries, 10 charges: 195.40 EUR taken wrongly')
  expect(text).not.toContain(ESCAPE)
})
