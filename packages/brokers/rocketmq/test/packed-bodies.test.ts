// Bodies that their senders have packed, or say so of.
import { deflateSync, gzipSync } from 'node:zlib'

import { declareRocketmq, sendRaw } from '@oncemq/test-services/rocketmq'
import { describeService } from '@oncemq/test-services/vitest'
import { ConsumeResult } from 'rocketmq-client-nodejs'
import { describe, expect, onTestFinished, test } from 'vitest'
import { consume, dedupListener, dedupSimpleConsumer } from '../src/index.ts'
import { unpackBodies } from '../src/packed-bodies.ts'
import { deduplicator, place, until } from './set-up.ts'

const LONG = 'a long text '.repeat(1000)
const MIB = 1024 * 1024

describeService('rocketmq-fast', ({ url }) => {
  /** Packed in two ways, between others, and one that only says that it is. All of them in one queue. */
  const mixed = async () => {
    const at = await place(url, 'NORMAL', {}, 1)
    // So that a client as it is can be started before anything is in there.
    await declareRocketmq(url, { topics: [{ name: `%DLQ%${at.group}`, type: 'NORMAL' }] })
    const send = (key: string, body: Buffer, packed = true) =>
      sendRaw(url, { topic: at.topic, body, packed, properties: { KEYS: key } })
    await send('a', Buffer.from('plain'), false)
    await send('b', Buffer.from('no zip'))
    await send('c', gzipSync(LONG))
    await send('d', deflateSync(LONG))
    await send('e', Buffer.from('plain'), false)
    const seen: string[] = []
    const handler = ({ body, keys, deliveryAttempt }: Seen): void => {
      seen.push(`${keys.join()} ${body.toString() === LONG ? 'long' : body.toString()} ${deliveryAttempt}`)
    }
    return { at, seen, handler }
  }
  const EXPECTED = ['a plain 1', 'c long 1', 'd long 1', 'e plain 1']

  const told = () => {
    const dedup = deduplicator()
    const warnings: string[] = []
    dedup.on('warning', ({ message }) => warnings.push(message))
    return { dedup, warnings }
  }

  test.for(['managed', 'simple', 'push'] as const)('%s: one that lies harms no other', async (form) => {
    const { at, seen, handler } = await mixed()
    const { dedup, warnings } = told()
    if (form === 'managed') {
      const consumer = await consume({ consumer: at.simple(), dedup, handler })
      onTestFinished(() => consumer.close({ timeoutMs: 1000 }))
    } else if (form === 'push') {
      const listener = { consume: (message: Seen) => (handler(message), ConsumeResult.SUCCESS) }
      await at.push(dedupListener(listener, dedup))
    } else {
      const consumer = dedupSimpleConsumer(at.simple(), dedup)
      await consumer.startup()
      await until('all', async () => {
        for (const message of await consumer.receive(10, 10_000)) {
          handler(message)
          await consumer.ack(message)
        }
        return seen.length >= EXPECTED.length
      })
    }
    await until('all', () => dedup.counts().completed === EXPECTED.length)
    expect(seen.toSorted()).toEqual(EXPECTED)
    // A PushConsumer knows of no deduplicator: it is the process that is told.
    const expected = form === 'push' ? 0 : 1
    expect(warnings.filter((each) => each.includes('cannot be unpacked'))).toHaveLength(expected)
    const dead = at.simple({ topic: `%DLQ%${at.group}`, group: `d_${at.topic}` })
    await dead.startup()
    // The client as it is cannot read it, wherever it is.
    await expect(until('it', async () => (await dead.receive(1, 10_000)).length > 0)).rejects.toThrow(
      'incorrect header check',
    )
  })
})

describe('a body that becomes too large', () => {
  test('is not unpacked, and is told once', async () => {
    const bodies = [gzipSync(Buffer.alloc(17 * MIB)), gzipSync('small'), gzipSync(Buffer.alloc(17 * MIB))]
    const calls = { receiveMessage: async () => bodies.map(response) }
    const warnings: string[] = []
    unpackBodies({ ...client, getRpcClientManager: () => calls } as never, (text) => warnings.push(text))
    const left = await calls.receiveMessage()
    expect(left.map((each) => Buffer.from(each.getMessage().getBody_asU8()).toString())).toEqual(['small'])
    expect(warnings).toEqual([expect.stringContaining('to 16777216 bytes or less')])
  })
})

type Seen = { body: Buffer; keys: readonly string[]; deliveryAttempt?: number | undefined }

const client = { startup: async () => undefined, shutdown: async () => undefined }

/** As the protocol's own classes are. */
function response(packed: Buffer) {
  let body: Uint8Array = packed
  const properties = {
    getBodyEncoding: () => 2,
    setBodyEncoding: () => undefined,
    getBodyDigest: () => undefined,
    getMessageId: () => 'm',
    getReceiptHandle: () => 'h',
    getDeliveryAttempt: () => 1,
  }
  const message = {
    getTopic: () => ({ getName: () => 't' }),
    getBody_asU8: () => body,
    setBody: (unpacked: Uint8Array) => (body = unpacked),
    getSystemProperties: () => properties,
  }
  return { getMessage: () => message }
}
