import { describeService } from '@oncemq/test-services/vitest'
import { ConsumeResult } from 'rocketmq-client-nodejs'
import { expect, test } from 'vitest'
import { dedupListener } from '../src/index.ts'
import { deduplicator, place, until } from './set-up.ts'

describeService('rocketmq-fast', ({ url }) => {
  test('calls the listener once for a message that was sent twice', async () => {
    const at = await place(url)
    const dedup = deduplicator()
    const seen: string[] = []
    const consume = ({ body }: { body: Buffer }) => {
      seen.push(body.toString())
      return ConsumeResult.SUCCESS
    }
    await at.push(dedupListener({ consume }, dedup))
    for (const body of ['a', 'b', 'a']) await at.send(body)
    await until('the duplicate', () => dedup.counts().duplicate === 1 && seen.length === 2)
    expect(seen.toSorted()).toEqual(['a', 'b'])
  })

  test('frees the key after FAILURE, a throw, and any other answer, which it tells', async () => {
    const at = await place(url)
    const dedup = deduplicator()
    const warnings: string[] = []
    dedup.on('warning', ({ message }) => warnings.push(message))
    const answers = [
      () => ConsumeResult.FAILURE,
      () => {
        throw new Error('no')
      },
      () => 'SUCCESS',
      () => ConsumeResult.SUCCESS,
    ]
    const retry = { firstMs: 100 }
    await at.push(dedupListener({ consume: () => answers.shift()?.() }, dedup, { retry }))
    await at.send('a')
    await until('the last answer', () => dedup.counts().completed === 1)
    expect(answers).toEqual([])
    expect(dedup.counts()).toMatchObject({ granted: 4, failed: 3 })
    // At its third failure it is told that it failed at all, too.
    expect(warnings.toSorted()).toEqual([
      expect.stringMatching(/^a handler keeps failing; /),
      expect.stringContaining('a listener answered a value of type string'),
    ])
  })

  test('works on no more messages at a time than it is told', async () => {
    const at = await place(url)
    const dedup = deduplicator()
    let running = 0
    let most = 0
    const consume = async () => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setTimeout(resolve, 20))
      running -= 1
      return ConsumeResult.SUCCESS
    }
    for (let count = 0; count < 20; count += 1) await at.send(`m${count}`)
    await at.push(dedupListener({ consume }, dedup, { concurrency: 3 }))
    await until('all', () => dedup.counts().completed === 20)
    expect(most).toBe(3)
  })

  test('waits for a key that is busy elsewhere, without using up an attempt', async () => {
    const at = await place(url)
    const dedup = deduplicator({ busyTimeoutMs: 50 })
    const other = deduplicator({ store: dedup.settings.store })
    const held = await other.claim({ key: 'a', source: at.topic })
    if (held.status !== 'granted') throw new Error('not granted')
    const attempts: (number | undefined)[] = []
    const consume = ({ deliveryAttempt }: { deliveryAttempt?: number | undefined }) => {
      attempts.push(deliveryAttempt)
      return ConsumeResult.SUCCESS
    }
    await at.push(dedupListener({ consume }, dedup))
    await at.send('a')
    await until('it to be busy', () => dedup.counts().busy > 0)
    await held.claim.release('failed')
    await until('its turn', () => dedup.counts().completed === 1)
    expect(attempts).toEqual([1])
  })

  test('tries a FIFO message again in place: none overtakes it, none is dead-lettered', async () => {
    const at = await place(url, 'FIFO')
    const dedup = deduplicator()
    const seen: string[] = []
    const consume = ({ body }: { body: Buffer }, { attempt }: { attempt: number }) => {
      seen.push(`${body.toString()}${attempt}`)
      return body.toString() === 'a' && attempt < 3 ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS
    }
    await at.push(dedupListener({ consume }, dedup, { retry: { firstMs: 100 } }))
    for (const body of ['a', 'b', 'c']) await at.send(body, { keys: [body], messageGroup: 'x' })
    await until('all', () => dedup.counts().completed === 3)
    expect(seen).toEqual(['a1', 'a2', 'a3', 'b1', 'c1'])
  })
})
