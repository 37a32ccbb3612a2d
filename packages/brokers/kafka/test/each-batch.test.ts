import { MemoryStore } from '@oncemq/core'
import type { Deduplicator } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import type { EachBatchPayload } from 'kafkajs'
import { expect, onTestFinished, test } from 'vitest'
import type { DedupEachBatchOptions } from '../src/index.ts'
import { dedupEachBatch, header, parkedHeaders, stampId } from '../src/index.ts'
import { deduplicator, Topic, until } from './set-up.ts'

type Handler = (payload: EachBatchPayload) => Promise<void>

/** Consumes until the test has ended. */
async function consuming(
  topic: Topic,
  dedup: Deduplicator,
  handler: Handler,
  options: Partial<DedupEachBatchOptions> = {},
): Promise<string> {
  const groupId = dedup.settings.consumerGroup
  const consumer = topic.kafka.consumer({ groupId, maxWaitTimeInMs: 100 })
  const producer = topic.kafka.producer({ allowAutoTopicCreation: false })
  const closing = new AbortController()
  onTestFinished(async () => {
    closing.abort()
    await consumer.disconnect()
    await producer.disconnect()
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic.name], fromBeginning: true })
  const { eachBatchAutoResolve = true } = options
  await consumer.run({
    eachBatchAutoResolve,
    eachBatch: dedupEachBatch(handler, dedup, { producer, signal: closing.signal, ...options }),
  })
  return groupId
}

const textsOf = ({ batch }: EachBatchPayload): string[] => batch.messages.map(({ value }) => String(value))

const stamped = (...ids: readonly string[]) => ids.map((id) => stampId({ value: id }, id))

describeService('kafka-4.4', ({ url }) => {
  test('duplicates are left out, those within a batch too', async () => {
    const topic = await Topic.open(url)
    const seen: string[] = []
    await topic.send(...stamped('a', 'b', 'a', 'c', 'b'))
    const dedup = deduplicator()
    const group = await consuming(topic, dedup, async (payload) => void seen.push(...textsOf(payload)))
    await until('no lag', async () => (await topic.committed(group)) === 5)
    await topic.send(...stamped('c', 'd', 'a'))
    await until('no lag', async () => (await topic.committed(group)) === 8)
    expect(seen).toEqual(['a', 'b', 'c', 'd'])
  })

  test('a poison record is parked, and takes no other with it', { timeout: 90_000 }, async () => {
    const topic = await Topic.open(url)
    const parked = await topic.deadLetters()
    const done: string[] = []
    let starts = 0
    await topic.send(...stamped('a', 'b', 'poison', 'c', 'd'))
    const dedup = deduplicator({ attemptsMax: 3 })
    const group = await consuming(topic, dedup, async (payload) => {
      const texts = textsOf(payload)
      if (texts.includes('poison')) {
        starts += 1
        throw new Error('poison')
      }
      done.push(...texts)
    })
    await until('no lag', async () => (await topic.committed(group)) === 5, 60_000)
    expect(done).toEqual(['a', 'b', 'c', 'd'])
    await until('the dead letter', () => parked.length === 1)
    expect(starts).toBe(3)
    expect(parked[0]).toMatchObject({ value: 'poison', headers: { [parkedHeaders.reason]: 'attempts' } })
  })

  test('a caller that settles by itself cannot commit together with the record', async () => {
    const topic = await Topic.open(url)
    const strategy = { ...deduplicator().settings.strategy, name: 'transactional', allowsDropIn: false }
    const dedup = deduplicator()
    const refused = Object.assign(Object.create(dedup) as Deduplicator, {
      settings: { ...dedup.settings, strategy },
    })
    const wrap = (): unknown => dedupEachBatch(() => undefined, refused, { producer: topic.kafka.producer() })
    expect(wrap).toThrow(expect.objectContaining({ code: 'ONCEMQ_CONSUMER_UNSAFE' }))
  })

  test('what was resolved before a throw is done, and what was not is given again', async () => {
    const topic = await Topic.open(url)
    const starts: string[] = []
    await topic.send(...stamped('a', 'b', 'c', 'd'))
    const group = await consuming(topic, deduplicator(), async (payload) => {
      for (const { value, offset } of payload.batch.messages) {
        starts.push(String(value))
        if (starts.length === 3) throw new Error('not yet')
        payload.resolveOffset(offset)
      }
    })
    await until('no lag', async () => (await topic.committed(group)) === 4)
    expect(starts).toEqual(['a', 'b', 'c', 'c', 'd'])
  })

  test('without auto-resolve what the handler left is given again', async () => {
    const topic = await Topic.open(url)
    const starts: string[] = []
    await topic.send(...stamped('a', 'b', 'c'))
    const handler: Handler = async (payload) => {
      const [first] = payload.batch.messages
      starts.push(String(first?.value))
      payload.resolveOffset(first?.offset ?? '')
    }
    const dedup = deduplicator()
    const group = await consuming(topic, dedup, handler, { eachBatchAutoResolve: false })
    await until('no lag', async () => (await topic.committed(group)) === 3)
    expect(starts).toEqual(['a', 'b', 'c'])
  })

  test('what is busy elsewhere keeps those after it waiting, and nothing is resolved past it', async () => {
    const topic = await Topic.open(url)
    const store = new MemoryStore()
    const other = deduplicator({ store })
    const { consumerGroup } = other.settings
    const outcome = await other.claim({ key: 'b', source: topic.name })
    if (outcome.status !== 'granted') throw new Error(outcome.status)
    const parts: EachBatchPayload[] = []
    await topic.send(...stamped('a', 'b', 'c'))
    const dedup = deduplicator({ store, consumerGroup })
    const group = await consuming(topic, dedup, async (payload) => {
      parts.push(payload)
      // What a handler resolves as the end of its batch is the end of its part.
      payload.resolveOffset(payload.batch.lastOffset())
    })
    const resolved = (): string | undefined => parts[0]?.uncommittedOffsets().topics[0]?.partitions[0]?.offset
    await until('the part before', () => resolved() === '1')
    await outcome.claim.complete()
    await until('no lag', async () => (await topic.committed(group)) === 3)
    expect(parts.map(textsOf)).toEqual([['a'], ['c']])
  })

  test('an error for which the client ends is one of its attempts, as others are', async () => {
    const topic = await Topic.open(url)
    const parked = await topic.deadLetters()
    let starts = 0
    await topic.send(...stamped('poison', 'a'))
    const seen: string[] = []
    const group = await consuming(topic, deduplicator({ attemptsMax: 2 }), async (payload) => {
      const texts = textsOf(payload)
      if (texts.includes('poison')) {
        starts += 1
        throw new TypeError('poison')
      }
      seen.push(...texts)
    })
    await until('no lag', async () => (await topic.committed(group)) === 2)
    await until('the dead letter', () => parked.length === 1)
    expect({ starts, seen }).toEqual({ starts: 2, seen: ['a'] })
  })

  test('failures of a record without a key are counted, and it is parked', async () => {
    const topic = await Topic.open(url)
    const parked = await topic.deadLetters()
    let starts = 0
    await topic.send({ value: 'poison' }, { value: 'a' })
    const seen: string[] = []
    const dedup = deduplicator({ attemptsMax: 3, onMissingKey: 'process' })
    const handler: Handler = async (payload) => {
      const texts = textsOf(payload)
      if (texts.includes('poison')) {
        starts += 1
        throw new Error('poison')
      }
      seen.push(...texts)
    }
    const group = await consuming(topic, dedup, handler, { key: header('id') })
    await until('no lag', async () => (await topic.committed(group)) === 2)
    await until('the dead letter', () => parked.length === 1)
    expect({ starts, seen }).toEqual({ starts: 3, seen: ['a'] })
  })
})
