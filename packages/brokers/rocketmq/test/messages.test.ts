// What messages are like on the real server: what the keys of this package are built on.
import { describeService } from '@oncemq/test-services/vitest'
import { ConsumeResult } from 'rocketmq-client-nodejs'
import { expect, test } from 'vitest'
import { contextOf, dedupListener, dedupSimpleConsumer, stampKeys } from '../src/index.ts'
import { deduplicator, nextOf, place, until } from './set-up.ts'

const DELAY_MS = 3000
/** The server's wheel of timers turns once a second. */
const EARLY_MS = 1500

describeService('rocketmq-fast', ({ url }) => {
  test('a delayed message comes when it is due, and its resend is acked unseen', async () => {
    const at = await place(url, 'DELAY')
    const dedup = deduplicator()
    const comings: number[] = []
    const consume = () => {
      comings.push(Date.now())
      return ConsumeResult.SUCCESS
    }
    await at.push(dedupListener({ consume }, dedup))
    const producer = await at.producer([at.topic])
    const dueMs = Date.now() + DELAY_MS
    for (const deliveryTimestamp of [new Date(dueMs), new Date(dueMs + 1000)]) {
      await producer.send(stampKeys({ topic: at.topic, body: Buffer.from('a'), deliveryTimestamp }, 'a'))
    }
    await until('the resend', () => dedup.counts().duplicate === 1)
    expect(comings).toHaveLength(1)
    expect(comings[0]).toBeGreaterThan(dueMs - EARLY_MS)
  })

  test('two sends with the same keys are two messages, whose ids stay when they come again', async () => {
    const at = await place(url)
    const [one, other] = [await at.send('a'), await at.send('a')]
    expect(one.messageId).toMatch(/^[0-9A-F]{34}$/)
    expect(other.messageId).not.toBe(one.messageId)
    const raw = await at.started()
    const seen = [await nextOf(raw), await nextOf(raw)]
    expect(seen.map(({ messageId }) => messageId).toSorted()).toEqual(
      [one.messageId, other.messageId].toSorted(),
    )
    const [first] = seen
    if (first === undefined) throw new Error('no message')
    await raw.changeInvisibleDuration(first, 100)
    const again = await nextOf(raw)
    expect(again).toMatchObject({ messageId: first.messageId, keys: ['a'], deliveryAttempt: 2 })
  })

  test('keys arrive as several words, and a key with a space as two', async () => {
    const at = await place(url)
    await at.send('x', { keys: ['a b', 'c'] })
    const message = await nextOf(await at.started())
    expect(message.keys).toEqual(['a', 'b', 'c'])
  })

  test('several keys make one, by all of them', async () => {
    const at = await place(url)
    const dedup = deduplicator()
    const consumer = dedupSimpleConsumer(at.simple(), dedup)
    await consumer.startup()
    await at.send('x', { keys: ['a', 'b'] })
    const first = await nextOf(consumer)
    expect(contextOf(first)?.key).toBe('4:keys1:ab')
    await consumer.ack(first)
    await at.send('y', { keys: ['a'] })
    const second = await nextOf(consumer)
    expect(contextOf(second)?.key).toBe('a')
    await consumer.ack(second)
  })

  test('what was not set arrives empty, and the message is known by its id', async () => {
    const at = await place(url)
    const consumer = dedupSimpleConsumer(at.simple(), deduplicator())
    await consumer.startup()
    const { messageId } = await at.send('x', {})
    const message = await nextOf(consumer)
    expect([message.keys, message.tag ?? '', message.messageGroup ?? '', message.properties.size]).toEqual([
      [],
      '',
      '',
      0,
    ])
    expect(contextOf(message)?.key).toBe(`9:messageId${messageId}`)
    await consumer.ack(message)
  })

  test('an empty body and a message of another type are refused when they are sent', async () => {
    const at = await place(url)
    await expect(at.send('')).rejects.toThrow(/body/i)
    await expect(at.send('a', { keys: ['a'], messageGroup: 'x' })).rejects.toThrow(/type/i)
  })
})
