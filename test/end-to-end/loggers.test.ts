// The loggers that people have, each with what it writes of an outage: one line, with the sentence.
import { Console } from 'node:console'
import { Writable } from 'node:stream'
import { createDeduplicator, MemoryStore } from '@oncemq/core'
import type { Logger } from '@oncemq/core'
import pino from 'pino'
import { expect, test } from 'vitest'
import winston from 'winston'

const loggers: readonly (readonly [name: string, loggerOn: (stream: Writable) => Logger])[] = [
  ['pino', (stream) => pino(stream)],
  ['a child of pino', (stream) => pino(stream).child({ module: 'billing' })],
  ['winston', (stream) => winston.createLogger({ transports: new winston.transports.Stream({ stream }) })],
  ['console', (stream) => new Console(stream)],
]

test.each(loggers)('%s writes what a person must know', async (_name, loggerOn) => {
  const lines: string[] = []
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk))
      done()
    },
  })
  const store = Object.assign(new MemoryStore(), { claim: () => Promise.reject(new Error('no answer')) })
  const options = { consumerGroup: 'billing', outageHoldMs: 0, logger: loggerOn(stream) }
  const dedup = createDeduplicator({ store, ...options })
  await expect(dedup.run('refund-1', () => 1)).rejects.toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE' })
  await dedup.close()
  expect(lines).toHaveLength(1)
  expect(lines[0]).toContain('billing: the store is down; messages are held until it is back')
})
