import { describeService } from '@oncemq/test-services/vitest'
import type { Kafka as Client } from 'kafkajs'
import { Kafka, logLevel } from 'kafkajs-2-2-0'
import { expect, test } from 'vitest'
import { deduplicator, nameOf, running, Topic, until } from './set-up.ts'

describeService('kafka-4.4', ({ url }) => {
  test('with the oldest kafkajs of its range a handler runs once, and again when it throws', async () => {
    const topic = await Topic.open(url)
    const client = new Kafka({ brokers: [new URL(url).host], logLevel: logLevel.NOTHING })
    const seen: string[] = []
    const { group } = await running(topic, {
      client: client as unknown as Client,
      dedup: deduplicator({ consumerGroup: nameOf('g') }),
      handler({ value }, { attempt }) {
        seen.push(`${String(value)}${attempt}`)
        if (String(value) === 'b' && attempt < 2) throw new Error('not yet')
      },
    })
    await topic.send({ value: 'a' }, { value: 'b' })
    await until('both offsets', async () => (await topic.committed(group)) === 2)
    expect(seen).toEqual(['a1', 'b1', 'b2'])
  })
})
