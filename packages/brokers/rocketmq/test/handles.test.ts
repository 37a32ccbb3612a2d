// Receipt handles and answers, as the server and the client really treat them.
import { describeService } from '@oncemq/test-services/vitest'
import { ConsumeResult } from 'rocketmq-client-nodejs'
import { expect, test } from 'vitest'
import { dedupListener, dedupSimpleConsumer } from '../src/index.ts'
import { deduplicator, nextOf, place, quiet, until } from './set-up.ts'

describeService('rocketmq-fast', ({ url }) => {
  const wrapped = async () => {
    const at = await place(url)
    const dedup = deduplicator()
    const raw = at.simple()
    const consumer = dedupSimpleConsumer(raw, dedup)
    await consumer.startup()
    return { at, dedup, raw, consumer }
  }

  test('an ack with an expired handle is told, and the key is done by then', async () => {
    const { at, dedup, consumer, raw } = await wrapped()
    await at.send('a')
    const first = await nextOf(consumer)
    // Behind the wrapper's back, so that the handle ends while the message is held.
    const { receiptHandle } = first as unknown as { receiptHandle: string }
    await raw.changeInvisibleDuration(first, 100)
    await until('it to come again', async () => (await raw.receive(1, 10_000)).length === 1)
    Object.assign(first, { receiptHandle })
    await consumer.ack(first).catch((error: Error) => expect(error.name).toBe('BadRequestException'))
    expect(dedup.counts()).toMatchObject({ completed: 1 })
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
    await Promise.all([consumer.changeInvisibleDuration(first, 20_000), consumer.ack(first)])
    const other = await at.started()
    expect(await other.receive(1, 10_000)).toEqual([])
    expect(dedup.counts()).toMatchObject({ completed: 1 })
    expect(raw.isRunning()).toBe(true)
  })

  test.each([
    ['undefined', undefined],
    ['true', true],
    ["'SUCCESS'", 'SUCCESS'],
    ["another copy's constant", { ...ConsumeResult.SUCCESS }],
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

  test('a FIFO message that the client tries again in its process is granted again', async () => {
    const at = await place(url, 'FIFO', {
      retryPolicy: {
        type: 'EXPONENTIAL',
        exponentialRetryPolicy: { initial: 100, max: 1000, multiplier: 2 },
      },
    })
    const dedup = deduplicator()
    const seen: number[] = []
    // Its deliveryAttempt counts in the process; the message is the same object.
    const consume = ({ deliveryAttempt = 0 }) => {
      seen.push(deliveryAttempt)
      return seen.length < 3 ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS
    }
    await at.push(dedupListener({ consume }, dedup, { retry: { firstMs: 50 } }))
    await at.send('a', { keys: ['a'], messageGroup: 'x' })
    await until('the third', () => dedup.counts().completed === 1)
    await quiet(500)
    expect(seen).toHaveLength(3)
    expect(dedup.counts()).toMatchObject({ granted: 3, failed: 2, duplicate: 0 })
  })
})
