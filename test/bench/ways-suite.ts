import type { Deduplicator, Store } from '@oncemq/core'
import { createDeduplicator, naturalKey, stateMachine } from '@oncemq/core'
import { PostgresStore } from '@oncemq/postgres'
import { consume } from '@oncemq/rabbitmq'
import { RedisStore } from '@oncemq/redis'
import { service } from '@oncemq/test-services'
import type { Server } from '@oncemq/test-services'
import type { ConsumeMessage } from 'amqplib'
import { connect } from 'amqplib'
import { Redis } from 'ioredis'
import type { PoolClient } from 'pg'
import pg from 'pg'
import type { Charge } from './charge.ts'
import { charge, enterPayment } from './charge.ts'
import { consumed } from './filled-queue.ts'
import type { Consume } from './filled-queue.ts'
import { interleaved } from './measure.ts'
import type { Variant } from './measure.ts'
import { processesOf } from './processor-time.ts'
import type { Processes } from './processor-time.ts'
import { reported } from './report.ts'
import type { Row } from './report.ts'
import type { Settings } from './settings.ts'

/** As many as the store has transactions at a time, and so many that claims are made in batches. */
const PREFETCH = [8, 64]

const TABLES = [
  'CREATE TABLE orders (id text PRIMARY KEY, state text NOT NULL)',
  'CREATE TABLE payments (id text PRIMARY KEY, cents integer NOT NULL)',
  'CREATE TABLE charges (id text NOT NULL, cents integer NOT NULL)',
]

/** What a way makes of the servers: its deduplicator, and the effect of its handler. */
interface WayToRun {
  readonly dedup: (parts: Parts) => Deduplicator<PoolClient | undefined>
  readonly effect: Charge
}

interface Parts {
  readonly pool: pg.Pool
  readonly sql: PostgresStore<PoolClient>
  readonly redis: Store
}

const options = { consumerGroup: 'bench', sweepEveryMs: 0 }

/** The names are those of the rows. */
const ways: Readonly<Record<string, WayToRun>> = {
  lease: { dedup: ({ sql: store }) => createDeduplicator({ ...options, store }), effect: charge },
  transactional: {
    dedup: ({ sql: store }) => createDeduplicator({ ...options, store, strategy: 'transactional' }),
    effect: charge,
  },
  // Its effect is the guard.
  naturalKey: {
    dedup: ({ sql: store }) =>
      createDeduplicator({ ...options, store, strategy: naturalKey({ constraint: 'payments_pkey' }) }),
    effect: enterPayment,
  },
  stateMachine: {
    dedup: ({ sql: store }) => createDeduplicator({ ...options, store, strategy: payments }),
    effect: charge,
  },
  redis: { dedup: ({ redis: store }) => createDeduplicator({ ...options, store }), effect: charge },
}

const payments = stateMachine({
  table: 'orders',
  id: 'id',
  state: 'state',
  initial: 'pending',
  final: ['paid'],
  transitions: { pay: { from: 'pending', to: 'paid' } },
  read: (message: { readonly properties: { readonly messageId: string } }) => ({
    id: message.properties.messageId,
    transition: 'pay',
  }),
})

/**
 * The ways to be idempotent, on a real RabbitMQ and a real PostgreSQL, with a handler that writes one row:
 * against the raw consumer, which writes the same row and does not deduplicate. On RocketMQ the same for its
 * keys, with the record of them in PostgreSQL.
 */
export async function benchWays(settings: Settings): Promise<readonly Row[]> {
  const [postgres, redis] = await Promise.all([
    service('postgres-18', { own: true, args: ['-c', 'shared_buffers=1GB'] }),
    service('redis-8', { own: true, args: ['--auto-aof-rewrite-percentage', '0'] }),
  ])
  const opened = await open(postgres, redis)
  const rows: Row[] = []
  if (settings.brokers.includes('rabbitmq')) {
    rows.push(...(await onRabbitmq(opened, processesOf(postgres, redis), settings)))
  }
  if (settings.brokers.includes('rocketmq')) {
    // Loaded where it is needed, with its client.
    const { benchRocketmqKeys } = await import('./rocketmq-keys.ts')
    const { dedup, effect } = opened.transactional
    rows.push(...(await benchRocketmqKeys({ dedup, effect, pool: opened.pool }, settings)))
  }
  await opened.close()
  return rows
}

async function onRabbitmq(opened: Opened, server: Processes, settings: Settings): Promise<readonly Row[]> {
  const rabbit = await service('rabbitmq-4.0')
  const connection = await connect(rabbit.url)
  const watched = { server, broker: processesOf(rabbit) }
  const rows: Row[] = []
  for (const inFlight of PREFETCH) {
    const variants = Object.entries(opened.consumers).map(([name, consume]): Variant => {
      const given = { connection, prefetch: inFlight, messages: settings.messages, watched }
      const rows = { prepare: (ids: readonly string[]) => pending(opened.pool, ids) }
      return { name, run: () => consumed(consume, name === 'stateMachine' ? { ...given, ...rows } : given) }
    })
    const runs = await interleaved(variants, settings.rounds)
    rows.push(...reported({ suite: 'ways', broker: 'rabbitmq', store: 'postgres', inFlight }, runs))
  }
  await connection.close()
  return rows
}

type Opened = Awaited<ReturnType<typeof open>>

async function open(postgres: Server, redis: Server) {
  const pool = new pg.Pool({ connectionString: postgres.url, max: 12 })
  for (const sql of TABLES) await pool.query(sql)
  const client = new Redis(redis.url)
  const parts = { pool, sql: new PostgresStore({ pool }), redis: new RedisStore({ client }) }
  const dedups = Object.entries(ways).map(([name, { dedup, effect }]) => {
    return { name, dedup: dedup(parts), effect }
  })
  for (const { dedup } of dedups) await dedup.open()
  const guarded = dedups.map(({ name, dedup, effect }) => [name, managed(dedup, effect, pool)] as const)
  const transactional = dedups.find(({ name }) => name === 'transactional')
  if (transactional === undefined) throw new Error('expected a way of that name')
  return {
    pool,
    transactional,
    consumers: { raw: rawly(pool), ...Object.fromEntries(guarded) },
    async close() {
      for (const { dedup } of dedups) await dedup.close()
      client.disconnect()
      await pool.end()
      await Promise.all([postgres.close(), redis.close()])
    },
  }
}

/** The consumer as amqplib's users write it. */
function rawly(pool: pg.Pool): Consume {
  return async ({ channel, queue }, settled) => {
    const handle = async (message: ConsumeMessage): Promise<void> => {
      await charge(pool, String(message.properties.messageId))
      channel.ack(message)
      settled()
    }
    await channel.consume(queue, (message) => void (message && handle(message)))
    return () => channel.close()
  }
}

/** Where there is no transaction, the handler writes as the raw consumer does. */
function managed(dedup: Deduplicator<PoolClient | undefined>, effect: Charge, pool: pg.Pool): Consume {
  return async ({ channel, queue, prefetch }, settled) => {
    const consumer = await consume({
      channel,
      queue,
      dedup,
      prefetch,
      middlewares: [
        async (_, next) => {
          const outcome = await next()
          if (outcome.status === 'completed') settled()
          return outcome
        },
      ],
      handler: async (message, { tx }) => {
        await effect(tx ?? pool, String(message.properties.messageId))
      },
    })
    return async () => {
      await consumer.close()
      await channel.close()
    }
  }
}

async function pending(pool: pg.Pool, ids: readonly string[]): Promise<void> {
  await pool.query("INSERT INTO orders SELECT unnest($1::text[]), 'pending'", [ids])
}
