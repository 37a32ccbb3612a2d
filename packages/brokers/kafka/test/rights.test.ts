import type { Deduplicator, OncemqError } from '@oncemq/core'
import { createDeduplicator, PermanentError } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  Kafka,
  logLevel,
  ResourcePatternTypes,
} from 'kafkajs'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { KafkaClient } from '../src/index.ts'
import { consume, exactlyOnce } from '../src/index.ts'
import { platformaticOf } from './platformatic.ts'
import { clientNames, deduplicator, nameOf, until } from './set-up.ts'

/** One who may do all, and one who may do what a test grants; each has the name for a password. */
const ADMIN = 'admin'
const WORKER = 'worker'
const LOGIN = 'org.apache.kafka.common.security.plain.PlainLoginModule required'
const ACLS = [
  'listener.security.protocol.map=PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT',
  'inter.broker.listener.name=PLAINTEXT',
  'sasl.enabled.mechanisms=PLAIN',
  'sasl.mechanism.inter.broker.protocol=PLAIN',
  `listener.name.plaintext.plain.sasl.jaas.config=${LOGIN} username="${ADMIN}" password="${ADMIN}" ` +
    `user_${ADMIN}="${ADMIN}" user_${WORKER}="${WORKER}";`,
  'authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer',
  // The controller's own listener asks for no name.
  `super.users=User:${ADMIN};User:ANONYMOUS`,
]

const SOON = { firstMs: 20, factor: 1 }
const GROUP_REFUSED = {
  code: 'ONCEMQ_CONSUMER_UNSAFE',
  message: expect.stringContaining('grant READ on the group') as string,
}
const { READ, WRITE, DESCRIBE } = AclOperationTypes
const { TOPIC, GROUP, TRANSACTIONAL_ID } = AclResourceTypes

function kafkaOf(url: string, username: string): Kafka {
  return new Kafka({
    brokers: [new URL(url).host],
    sasl: { mechanism: 'plain', username, password: username },
    retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 20 },
    logLevel: logLevel.NOTHING,
  })
}

/** The clients of one with few rights. */
const workers = {
  kafkajs: (url: string): KafkaClient => kafkaOf(url, WORKER),
  platformatic(url: string): KafkaClient {
    const { options, ...classes } = platformaticOf(new URL(url).host)
    const sasl = { mechanism: 'PLAIN', username: WORKER, password: WORKER }
    return { ...classes, options: { ...options, sasl } } as KafkaClient
  },
}

/** A topic with its parking topic, and a group, for which the worker has no rights yet. */
class Guarded {
  readonly name = nameOf('t')
  readonly parking = `${this.name}.parked`
  readonly group = nameOf('g')
  readonly kafka: Kafka
  readonly #admin: ReturnType<Kafka['admin']>

  constructor(url: string) {
    this.kafka = kafkaOf(url, ADMIN)
    this.#admin = this.kafka.admin()
  }

  async open(): Promise<this> {
    await this.#admin.connect()
    onTestFinished(() => this.#admin.disconnect())
    await this.#admin.createTopics({ topics: [{ topic: this.name }, { topic: this.parking }] })
    return this
  }

  async grant(
    resourceType: AclResourceTypes,
    resourceName: string,
    ...operations: AclOperationTypes[]
  ): Promise<void> {
    // Transactional ids have a common prefix.
    const { LITERAL, PREFIXED } = ResourcePatternTypes
    const resourcePatternType = resourceType === TRANSACTIONAL_ID ? PREFIXED : LITERAL
    const to = { principal: `User:${WORKER}`, host: '*', permissionType: AclPermissionTypes.ALLOW }
    const acl = operations.map((operation) => ({
      resourceType,
      resourceName,
      resourcePatternType,
      operation,
      ...to,
    }))
    await this.#admin.createAcls({ acl })
  }

  async send(value: string): Promise<void> {
    const producer = this.kafka.producer()
    await producer.connect()
    await producer.send({ topic: this.name, messages: [{ value }] })
    await producer.disconnect()
  }

  /** How many records the parking topic has. */
  async parked(): Promise<number> {
    const [offsets] = await this.#admin.fetchTopicOffsets(this.parking)
    return Number(offsets?.high ?? 0)
  }

  async committed(): Promise<number> {
    const [topic] = await this.#admin.fetchOffsets({ groupId: this.group, topics: [this.name] })
    return Number(topic?.partitions[0]?.offset ?? -1)
  }
}

/** Answers with what the consumer has ended, if it has. */
async function run(client: KafkaClient, guarded: Guarded, dedup: Deduplicator): Promise<OncemqError[]> {
  const ends: OncemqError[] = []
  const onEnd = (error: OncemqError): void => void ends.push(error)
  const handler = (): never => {
    throw new PermanentError('poison')
  }
  const consumer = await consume({ client, topics: [guarded.name], dedup, handler, onEnd, retry: SOON })
  onTestFinished(() => consumer.close({ timeoutMs: 1000 }))
  return ends
}

function dedupOf({ group }: Guarded, warnings: string[] = []): Deduplicator {
  const logger = { warn: (text: string) => void warnings.push(text) }
  return deduplicator({ consumerGroup: group, logger })
}

describeService('kafka-4.4', { args: ACLS }, ({ url }) => {
  describe.each(clientNames)('%s', (name) => {
    test('a topic that may not be seen is told at start', async () => {
      const guarded = await new Guarded(url).open()
      await expect(run(workers[name](url), guarded, dedupOf(guarded))).rejects.toMatchObject({
        code: 'ONCEMQ_CONSUMER_UNSAFE',
        message: expect.stringContaining(`a topic '${guarded.name}'`) as string,
      })
    })

    test('a topic that may be seen and not read ends the consumer, which tells it', async () => {
      const guarded = await new Guarded(url).open()
      await guarded.grant(TOPIC, guarded.name, DESCRIBE)
      await guarded.grant(TOPIC, guarded.parking, WRITE)
      await guarded.grant(GROUP, guarded.group, READ)
      await guarded.send('a')
      const ends = await run(workers[name](url), guarded, dedupOf(guarded))
      await until('the end', () => ends.length > 0)
      expect(ends).toMatchObject([
        {
          code: 'ONCEMQ_CONSUMER_UNSAFE',
          message: expect.stringContaining('grant READ on the topics') as string,
        },
      ])
      expect(await guarded.committed()).toBe(-1)
    })

    test('a parking topic that may neither be seen nor made is told at start', async () => {
      const guarded = await new Guarded(url).open()
      await guarded.grant(TOPIC, guarded.name, READ)
      await guarded.grant(GROUP, guarded.group, READ)
      await expect(run(workers[name](url), guarded, dedupOf(guarded))).rejects.toMatchObject({
        code: 'ONCEMQ_CONSUMER_UNSAFE',
        message: expect.stringContaining(`topics for dead letters (${guarded.parking})`) as string,
      })
    })

    test('a group that may not be joined is told at start', async () => {
      const guarded = await new Guarded(url).open()
      await guarded.grant(TOPIC, guarded.name, READ)
      await guarded.grant(TOPIC, guarded.parking, WRITE)
      await guarded.grant(GROUP, guarded.group, DESCRIBE)
      await expect(run(workers[name](url), guarded, dedupOf(guarded))).rejects.toMatchObject(GROUP_REFUSED)
    })

    test('a dead letter that is refused is held until it may be written', async () => {
      const guarded = await new Guarded(url).open()
      await guarded.grant(TOPIC, guarded.name, READ)
      await guarded.grant(TOPIC, guarded.parking, DESCRIBE)
      await guarded.grant(GROUP, guarded.group, READ)
      const warnings: string[] = []
      await run(workers[name](url), guarded, dedupOf(guarded, warnings))
      await guarded.send('poison')
      await until('the warning', () => warnings.length > 0)
      expect(await guarded.parked()).toBe(0)
      expect(await guarded.committed()).toBe(-1)
      await guarded.grant(TOPIC, guarded.parking, WRITE)
      await until('the offset', async () => (await guarded.committed()) === 1)
      expect(await guarded.parked()).toBe(1)
      expect(warnings.filter((text) => text.includes('could not be sent on'))).toHaveLength(1)
    })
  })

  test('a group that may not be seen is told by platformatic at start', async () => {
    const guarded = await new Guarded(url).open()
    await guarded.grant(TOPIC, guarded.name, READ)
    await guarded.grant(TOPIC, guarded.parking, WRITE)
    await expect(run(workers.platformatic(url), guarded, dedupOf(guarded))).rejects.toMatchObject(
      GROUP_REFUSED,
    )
  })

  test('kafkajs hides why: it is told by a warning, and tried until it may be joined', async () => {
    const guarded = await new Guarded(url).open()
    await guarded.grant(TOPIC, guarded.name, READ)
    await guarded.grant(TOPIC, guarded.parking, WRITE)
    const warnings: string[] = []
    const ends = await run(workers.kafkajs(url), guarded, dedupOf(guarded, warnings))
    expect(warnings).toEqual([expect.stringContaining('grant READ on the group')])
    await guarded.send('poison')
    await guarded.grant(GROUP, guarded.group, READ)
    await until('the offset', async () => (await guarded.committed()) === 1)
    expect(ends).toEqual([])
  })

  test.each([
    { rights: [], code: 'ONCEMQ_BROKER_UNAVAILABLE' },
    { rights: [DESCRIBE], code: 'ONCEMQ_CONSUMER_UNSAFE' },
  ])('a transactional id with $rights.length of two rights is told at start', async ({ rights, code }) => {
    const guarded = await new Guarded(url).open()
    const { group } = guarded
    const dedup = createDeduplicator({
      consumerGroup: group,
      logger: { warn: () => undefined },
      strategy: exactlyOnce({ client: kafkaOf(url, WORKER), transactionalId: group }),
    })
    onTestFinished(() => dedup.close({ timeoutMs: 100 }))
    if (rights.length > 0) await guarded.grant(TRANSACTIONAL_ID, group, ...rights)
    await expect(dedup.open()).rejects.toMatchObject({
      code,
      message: expect.stringContaining('grant WRITE and DESCRIBE on transactional ids') as string,
    })
  })
})
