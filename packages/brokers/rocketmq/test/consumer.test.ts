import { MemoryStore, PermanentError } from '@oncemq/core'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, onTestFinished, test } from 'vitest'
import { consume, type ConsumeOptions } from '../src/index.ts'
import { deduplicator, nextOf, type Place, place, until } from './set-up.ts'

async function consuming(
  at: Place,
  options: Partial<ConsumeOptions> & Pick<ConsumeOptions, 'handler' | 'dedup'>,
) {
  const consumer = await consume({ consumer: at.simple(), retry: { firstMs: 100 }, ...options })
  onTestFinished(() => consumer.close({ timeoutMs: 1000 }))
  return consumer
}

describeService('rocketmq-fast', ({ url }) => {
  test('handles a message that was sent twice once', async () => {
    const at = await place(url)
    const dedup = deduplicator()
    const seen: string[] = []
    await consuming(at, { dedup, handler: ({ body }) => void seen.push(body.toString()) })
    for (const body of ['a', 'b', 'a']) await at.send(body)
    await until('the duplicate', () => dedup.counts().duplicate === 1)
    await until('all', () => seen.length === 2)
    expect(seen.toSorted()).toEqual(['a', 'b'])
  })

  test('waits for a server that is down at start, and says so', async () => {
    const at = await place(url)
    await using proxy = await FaultProxy.open(url)
    proxy.refuse()
    const dedup = deduplicator()
    const warnings: string[] = []
    dedup.on('warning', ({ message }) => void warnings.push(message))
    const seen: string[] = []
    const handler: ConsumeOptions['handler'] = ({ body }) => void seen.push(body.toString())
    await consuming(at, { consumer: at.simple({ url: proxy.url }), dedup, handler })
    expect(warnings).toEqual([
      expect.stringMatching(/^consume: nothing can be received yet \(.*\); trying again until it can$/s),
    ])
    await at.send('a')
    proxy.resume()
    await until('the message', () => seen.length === 1)
    expect(warnings.at(-1)).toBe('consume: messages can be received again')
  })

  test('tries again what failed, after a delay of ours', async () => {
    const at = await place(url)
    const attempts: number[] = []
    const handler = (_: object, { attempt }: { attempt: number }): void => {
      attempts.push(attempt)
      if (attempt < 3) throw new Error('not yet')
    }
    const dedup = deduplicator()
    await consuming(at, { dedup, handler })
    await at.send('a')
    await until('the third attempt', () => dedup.counts().completed === 1)
    expect(attempts).toEqual([1, 2, 3])
  })

  test('parks what is not to be processed', async () => {
    const at = await place(url)
    const dedup = deduplicator()
    const handler = (): never => {
      throw new PermanentError('never')
    }
    await consuming(at, { dedup, handler, producer: await at.producer() })
    await at.send('a', { keys: ['a'], tag: 'T' })
    const parked = await at.started(`${at.topic}_parked`)
    const copy = await nextOf(parked)
    expect(copy).toMatchObject({ keys: ['a'], tag: 'T' })
    expect(Object.fromEntries(copy.properties)).toMatchObject({
      'oncemq-reason': 'permanent',
      'oncemq-topic': at.topic,
    })
    await parked.ack(copy)
  })

  test("moves it to the broker's dead-letter queue without a producer", async () => {
    const at = await place(url)
    const dedup = deduplicator()
    let starts = 0
    const handler = (): never => {
      starts += 1
      throw new PermanentError('never')
    }
    const consumer = await consuming(at, { dedup, handler })
    await at.send('a')
    await until('the failure', () => dedup.counts().failed === 1)
    // The server remembers for a while that a topic does not exist: we ask when the message is there.
    await consumer.close()
    const dlq = await at.deadLetters()
    const dead = await nextOf(dlq)
    expect(dead).toMatchObject({ keys: ['a'] })
    await dlq.ack(dead)
    expect(starts).toBe(1)
    expect(dedup.counts().warning).toBe(0)
  })

  test('keeps the order of a message group, and lets other groups go on', async () => {
    const at = await place(url, 'FIFO')
    const dedup = deduplicator()
    const seen: string[] = []
    const handler = ({ body }: { body: Buffer }, { attempt }: { attempt: number }): void => {
      seen.push(`${body.toString()}${attempt}`)
      if (body.toString() === 'a' && attempt < 3) throw new Error('not yet')
    }
    for (const body of ['a', 'b', 'c', 'b']) await at.send(body, { keys: [body], messageGroup: 'x' })
    for (const body of ['k', 'l']) await at.send(body, { keys: [body], messageGroup: 'y' })
    await consuming(at, { dedup, handler })
    await until('all', () => dedup.counts().completed === 5 && dedup.counts().duplicate === 1)
    expect(seen.filter((each) => /[abc]/.test(each))).toEqual(['a1', 'a2', 'a3', 'b1', 'c1'])
    expect(seen.filter((each) => /[kl]/.test(each))).toEqual(['k1', 'l1'])
  })

  test('closes within its bound, and lets what runs be handled elsewhere', async () => {
    const at = await place(url)
    const store = new MemoryStore()
    const dedup = deduplicator({ store, leaseMs: 1000 })
    let started = false
    const handler = (): Promise<void> => {
      started = true
      return new Promise(() => undefined)
    }
    const consumer = await consuming(at, { dedup, handler })
    await at.send('a')
    await until('the start', () => started)
    const fromMs = performance.now()
    await consumer.close({ timeoutMs: 500 })
    expect(performance.now() - fromMs).toBeLessThan(6000)
  })

  test('goes on when the store was down, without using up attempts', async () => {
    const at = await place(url)
    const store = new MemoryStore()
    const dedup = deduplicator({ store, outageHoldMs: 100 })
    await dedup.open()
    const claim = store.claim.bind(store)
    store.claim = () => Promise.reject(new Error('down'))
    const attempts: (number | undefined)[] = []
    await consuming(at, { dedup, handler: ({ deliveryAttempt }) => void attempts.push(deliveryAttempt) })
    await at.send('a')
    await until('the outage', () => dedup.outage)
    await until('the hold to end', () => dedup.counts().storeError > 3)
    store.claim = claim
    await until('the end', () => dedup.counts().completed === 1)
    expect(attempts).toEqual([1])
  })
})
