// Receipt handles and answers, as the server and the client really treat them.
import { PermanentError } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { ConsumeResult } from 'rocketmq-client-nodejs'
import { expect, test } from 'vitest'
import { dedupListener, dedupSimpleConsumer } from '../src/index.ts'
import { deduplicator, nextOf, place, until } from './set-up.ts'

describeService('rocketmq-fast', ({ url }) => {
  const wrapped = async (options = {}) => {
    const at = await place(url)
    const dedup = deduplicator()
    const raw = at.simple()
    const consumer = dedupSimpleConsumer(raw, dedup, options)
    await consumer.startup()
    return { at, dedup, raw, consumer }
  }

  test('an ack with the handle from before a renewal is answered, and does nothing', async () => {
    const at = await place(url)
    const raw = await at.started()
    await at.send('a')
    const message = await nextOf(raw)
    const { receiptHandle } = message as unknown as { receiptHandle: string }
    await raw.changeInvisibleDuration(message, 500)
    await raw.ack(Object.assign(message, { receiptHandle }))
    expect((await nextOf(raw)).messageId).toBe(message.messageId)
  })

  test('an ack after the handle has expired is refused, and its key is not done', async () => {
    const { at, dedup, raw, consumer } = await wrapped({ holdMs: 0 })
    await at.send('a')
    const first = await nextOf(consumer)
    // Received past the wrapper, so that its key stays with the first one.
    const again = await nextOf(raw)
    expect(again.messageId).toBe(first.messageId)
    await expect(raw.ack(first)).rejects.toMatchObject({ name: 'BadRequestException' })
    expect(dedup.counts()).toMatchObject({ granted: 1, completed: 0 })
  })

  test('to ack twice is no error, and handles nothing twice', async () => {
    const { at, dedup, consumer } = await wrapped()
    await at.send('a')
    const first = await nextOf(consumer)
    await consumer.ack(first)
    await consumer.ack(first)
    expect(dedup.counts()).toMatchObject({ completed: 1, warning: 0 })
  })

  test('renewals and the ack of one message do not race: the ack is the last', async () => {
    const { at, dedup, raw, consumer } = await wrapped()
    await at.send('a')
    const first = await nextOf(consumer)
    // An ack with the handle from before the change would do nothing, and it would come again.
    await Promise.all([consumer.changeInvisibleDuration(first, 500), consumer.ack(first)])
    for (let polls = 0; polls < 3; polls += 1) expect(await raw.receive(1, 10_000)).toEqual([])
    expect(dedup.counts()).toMatchObject({ completed: 1 })
  })

  test.each([
    ['undefined', undefined],
    ['true', true],
    ["'SUCCESS'", 'SUCCESS'],
  ])('the client takes %s for FAILURE, and so do we, with a warning', async (_, answer) => {
    const at = await place(url)
    const dedup = deduplicator()
    let calls = 0
    const consume = () => (++calls === 1 ? answer : ConsumeResult.SUCCESS)
    await at.push(dedupListener({ consume }, dedup))
    await at.send('a')
    await until('the second call', () => dedup.counts().completed === 1)
    expect(dedup.counts()).toMatchObject({ granted: 2, failed: 1, warning: 1 })
  })

  test('a FIFO message that failed for good is retried unseen, then dead-lettered', async () => {
    const at = await place(url, 'FIFO', {
      retryMaxTimes: 3,
      retryPolicy: {
        type: 'EXPONENTIAL',
        exponentialRetryPolicy: { initial: 100, max: 1000, multiplier: 2 },
      },
    })
    const dedup = deduplicator()
    const seen: string[] = []
    const consume = ({ body }: { body: Buffer }) => {
      seen.push(body.toString())
      if (body.toString() === 'a') throw new PermanentError('never')
      return ConsumeResult.SUCCESS
    }
    const consumer = await at.push(dedupListener({ consume }, dedup))
    for (const body of ['a', 'b']) await at.send(body, { keys: [body], messageGroup: 'x' })
    // What follows it in its group waits until the client has given it up.
    await until('b', () => dedup.counts().completed === 1)
    expect(seen).toEqual(['a', 'b'])
    expect(consumer.getConsumptionErrorQuantity()).toBeGreaterThan(1)
    const dlq = await at.deadLetters()
    const dead = await nextOf(dlq)
    expect(dead).toMatchObject({ keys: ['a'] })
    await dlq.ack(dead)
  })
})
