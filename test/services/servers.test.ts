import { setTimeout } from 'node:timers/promises'
import { connect } from 'amqplib'
import { Cluster, Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import { type Collection, MongoClient } from 'mongodb'
import { createConnection } from 'mysql2/promise'
import { Client } from 'pg'
import { expect, test } from 'vitest'
import { describeService } from './client/describe-service.ts'
import type { ServerName } from './servers/catalogue.ts'
import { declareKafka } from './servers/kafka-topics.ts'
import { declareRocketmq } from './servers/rocketmq/declare.ts'
import { askRocketmq, SUCCESS } from './servers/rocketmq/remoting.ts'

/** What a client does on one connection. */
type Use = (url: string) => Promise<unknown>

interface Uses {
  readonly write: Use
  /** Answers 1 if what was written is there. */
  readonly read: Use
}

// A code of RocketMQ's protocol.
const GET_TOPIC = 351

const CONNECT_MAX_MS = 1_000
const ELECTION_MAX_MS = 10_000

// A quorum queue registers itself on disk by a timer; killed earlier, the server has never known it.
const QUEUE_REGISTERED_AFTER_MS = 1_500

const rabbitmq: Uses = {
  async write(url) {
    const connection = await connect(url)
    const channel = await connection.createConfirmChannel()
    await channel.assertQueue('kept', { arguments: { 'x-queue-type': 'quorum' } })
    channel.sendToQueue('kept', Buffer.from('1'), { persistent: true })
    await channel.waitForConfirms()
    await setTimeout(QUEUE_REGISTERED_AFTER_MS)
    await connection.close()
  },
  async read(url) {
    const connection = await connect(url)
    const channel = await connection.createChannel()
    const message = await channel.get('kept')
    await connection.close()
    return message === false ? 0 : Number(message.content.toString())
  },
}

const redis: Uses = {
  write: (url) => withRedis(url, (client) => client.set('kept', 1)),
  read: (url) => withRedis(url, async (client) => Number(await client.get('kept'))),
}

const postgres: Uses = {
  write: (url) => withPostgres(url, 'CREATE TABLE kept AS SELECT 1 AS value'),
  read: (url) => withPostgres(url, 'SELECT value FROM kept'),
}

const mysql: Uses = {
  write: (url) => withMysql(url, 'CREATE TABLE kept AS SELECT 1 AS value'),
  read: (url) => withMysql(url, 'SELECT value FROM kept'),
}

const mongodb: Uses = {
  write: (url) =>
    withMongodb(url, (kept) => kept.insertOne({ value: 1 }, { writeConcern: { w: 'majority' } })),
  read: (url) => withMongodb(url, (kept) => kept.countDocuments({ value: 1 })),
}

const redisCluster: Uses = {
  write: (url) => withCluster(url, (client) => client.set('kept', 1)),
  read: (url) => withCluster(url, async (client) => Number(await client.get('kept'))),
}

const kafka: Uses = {
  async write(url) {
    await declareKafka(url, [{ name: 'kept' }])
    const producer = kafkaClient(url).producer()
    await producer.connect()
    await producer.send({ topic: 'kept', messages: [{ value: '1' }], acks: -1 })
    await producer.disconnect()
  },
  async read(url) {
    const admin = kafkaClient(url).admin()
    await admin.connect()
    const [partition] = await admin.fetchTopicOffsets('kept')
    await admin.disconnect()
    return Number(partition?.high)
  },
}

const USES: Partial<Record<ServerName, Uses>> = {
  'rabbitmq-4.0': rabbitmq,
  'redis-8': redis,
  'redis-7': redis,
  'valkey-8': redis,
  'redis-cluster': redisCluster,
  'postgres-18': postgres,
  'postgres-17': postgres,
  pgbouncer: postgres,
  'mysql-8.0': mysql,
  'mariadb-11.8': mysql,
  'mariadb-10.11': mysql,
  'mongodb-6': mongodb,
  'mongodb-standalone': mongodb,
  'kafka-4.4': kafka,
}

for (const [name, { write, read }] of Object.entries(USES) as [ServerName, Uses][]) {
  describeService(name, { own: true }, (server) => {
    test('keeps what it acknowledged when it is killed and started again', async () => {
      await write(server.url)
      await server.kill9()
      await expect(read(server.url)).rejects.toThrow(Error)
      await server.start()
      expect(await read(server.url)).toBe(1)
    })
  })
}

describeService('mongodb-3', { own: true }, (server) => {
  test('goes on when its primary is killed, and takes it back', async () => {
    await mongodb.write(server.url)
    const address = await withMongodb(server.url, addressOfPrimary)
    const primary = server.nodes.find(({ port }) => address === `127.0.0.1:${port}`)
    expect(primary).toBeDefined()
    await server.kill9(primary?.name)
    expect(server.nodes.filter(({ pid }) => pid === undefined)).toHaveLength(1)
    await mongodb.write(server.url)
    await server.start(primary?.name)
    expect(server.nodes.every(({ pid }) => pid !== undefined)).toBe(true)
    expect(await mongodb.read(server.url)).toBe(2)
  })
})

describeService('postgres-18', { own: true }, (server) => {
  test('is frozen and thawed, stopped and started', async () => {
    await postgres.write(server.url)
    await server.pause()
    const answer = postgres.read(server.url)
    const isFrozen = setTimeout(300, 'nothing')
    expect(await Promise.race([answer, isFrozen])).toBe('nothing')
    await server.resume()
    expect(await answer).toBe(1)
    await server.stop()
    await server.start()
    expect(await postgres.read(server.url)).toBe(1)
  })
})

describeService('rocketmq-fast', (server) => {
  test('knows a topic once it was declared', async () => {
    const broker = new URL(server.url).searchParams.get('broker') ?? ''
    const isKnown = async (): Promise<boolean> => {
      const [answer] = await askRocketmq(broker, [{ code: GET_TOPIC, extFields: { topic: 'declared' } }])
      return answer?.code === SUCCESS
    }
    expect(await isKnown()).toBe(false)
    const groups = [{ name: 'declared', orderly: true }]
    await declareRocketmq(server.url, { topics: [{ name: 'declared', type: 'FIFO' }], groups })
    expect(await isKnown()).toBe(true)
  })
})

describeService('redis-8', { args: ['--maxmemory-policy', 'volatile-lru'] }, (server) => {
  test('takes settings', async () => {
    const policy = await withRedis(server.url, (client) => client.config('GET', 'maxmemory-policy'))
    expect(policy).toEqual(['maxmemory-policy', 'volatile-lru'])
  })
})

async function withRedis(url: string, use: (client: Redis) => Promise<unknown>): Promise<unknown> {
  const client = new Redis(url, { retryStrategy: () => null })
  client.on('error', () => {})
  try {
    return await use(client)
  } finally {
    client.disconnect()
  }
}

async function withCluster(url: string, use: (client: Cluster) => Promise<unknown>): Promise<unknown> {
  const client = new Cluster([url], { clusterRetryStrategy: () => null })
  client.on('error', () => {})
  try {
    return await use(client)
  } finally {
    client.disconnect()
  }
}

async function withPostgres(url: string, statement: string): Promise<unknown> {
  const client = new Client({ connectionString: url })
  await client.connect()
  const { rows } = await client.query<{ value: number }>(statement)
  await client.end()
  return rows[0]?.value
}

async function withMysql(url: string, statement: string): Promise<unknown> {
  const connection = await createConnection(url)
  const [rows] = await connection.query(statement)
  await connection.end()
  return Array.isArray(rows) ? (rows[0] as { value: number }).value : undefined
}

function kafkaClient(url: string): Kafka {
  const retry = { retries: 5 }
  return new Kafka({ brokers: [new URL(url).host], retry, logLevel: logLevel.NOTHING })
}

async function addressOfPrimary(kept: Collection): Promise<unknown> {
  const { primary }: { primary?: unknown } = await kept.db.command({ hello: 1 })
  return primary
}

async function withMongodb(url: string, use: (kept: Collection) => Promise<unknown>): Promise<unknown> {
  const isMultiple = url.includes(',')
  const serverSelectionTimeoutMS = isMultiple ? ELECTION_MAX_MS : CONNECT_MAX_MS
  const client = new MongoClient(url, { serverSelectionTimeoutMS })
  try {
    return await use(client.db('test').collection('kept'))
  } finally {
    await client.close()
  }
}
