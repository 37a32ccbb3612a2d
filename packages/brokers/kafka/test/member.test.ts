import { systemClock } from '@oncemq/core/broker'
import { describeService } from '@oncemq/test-services/vitest'
import { Admin, Consumer } from '@platformatic/kafka'
import { expect, onTestFinished, test } from 'vitest'
import { memberOf } from '../src/clients/given.ts'
import type { TopicPartition } from '../src/clients/port.ts'
import type { ClientName } from './set-up.ts'
import { clientNames, nameOf, Topic, until } from './set-up.ts'

/** Long enough for a member not to know meanwhile that it is none any more. */
const HEARTBEAT_MS = 8000
const TIMES = { heartbeatInterval: HEARTBEAT_MS, sessionTimeout: 4 * HEARTBEAT_MS }

describeService('kafka-4.4', ({ url }) => {
  const base = { clientId: 'test', bootstrapBrokers: [new URL(url).host], retryDelay: 100 }

  function consumerOf(topic: Topic, client: ClientName, groupId: string): unknown {
    return client === 'kafkajs'
      ? topic.kafka.consumer({ groupId, ...TIMES, maxWaitTimeInMs: 100 })
      : new Consumer({ ...base, groupId, ...TIMES })
  }

  /** As a group does with a member that slept; another one had its partition then, and left. */
  async function dropAndGoOn(groupId: string, { topic, partition }: TopicPartition, offset: bigint) {
    const admin = new Admin(base)
    await admin.removeMembersFromConsumerGroup({ groupId })
    const topics = [{ name: topic, partitionOffsets: [{ partition, offset }] }]
    await admin.alterConsumerGroupOffsets({ groupId, topics })
    await admin.close()
  }

  test.for(clientNames)('%s: one that was dropped has lost all, and sets no offset back', async (client) => {
    const topic = await Topic.open(url, 1, client)
    await topic.send(...Array.from({ length: 6 }, () => ({ value: 'a' })))
    const place = { topic: topic.name, partition: 0 }
    const groupId = nameOf('g')
    const told: (readonly TopicPartition[])[] = []
    const member = memberOf(consumerOf(topic, client, groupId), systemClock)
    onTestFinished(() => member.close())
    await member.join([topic.name], true, {
      assigned: (partitions) => void told.push(partitions),
      received: () => undefined,
      crashed: () => undefined,
      beaten: () => undefined,
    })
    await until('the partition', () => told.length === 1)
    await dropAndGoOn(groupId, place, 5n)
    await expect(member.commit([{ ...place, offset: '1' }])).rejects.toBeInstanceOf(Error)
    await until('the partition once more', () => told.length >= 3)
    expect(await topic.committed(groupId)).toBe(5)
    await member.commit([{ ...place, offset: '6' }])
    expect(await topic.committed(groupId)).toBe(6)
    expect(told).toEqual([[place], [], [place]])
  })
})
