// A worker as a process of its own, so that it can be killed with -9.
import type { ChannelModel } from 'amqplib'
import { connect } from 'amqplib'
import { systemClock } from '@oncemq/core/store'
import { RedisStore } from '@oncemq/redis'
import type { PoolClient } from 'pg'
import type { Assignment } from './assignment.ts'
import { openPostgresShop } from './postgres-shop.ts'
import { simpleConsumer } from './rocketmq.ts'
import { RABBITMQ_URL, REDIS_URL } from './servers.ts'
import { sharedOptions } from './shared-options.ts'
import type { Told } from './watch.ts'
import { Watch } from './watch.ts'
import type { Stand } from './way.ts'
import { ways } from './ways/index.ts'

const LEASE_MS = 5000

/** So that a worker dies with several messages in its hands. */
const AT_ONCE = 4

/** Says it, and goes on when it is said. */
function tell(told: Told | 'ready'): Promise<void> {
  return new Promise((resolve) => process.send?.(told, () => resolve()))
}

function die(): Promise<never> {
  process.kill(process.pid, 'SIGKILL')
  return new Promise(() => undefined)
}

async function run({ way, queue, schema, provider, fault }: Assignment): Promise<void> {
  const closes: (() => Promise<void>)[] = []
  const stand: Stand<PoolClient> = {
    options: sharedOptions(systemClock, LEASE_MS),
    queue,
    provider,
    watch: new Watch({ fault, tell, die, atOnce: AT_ONCE }),
    simpleConsumer,
    async connection(): Promise<ChannelModel> {
      const connection = await connect(RABBITMQ_URL)
      closes.push(() => connection.close())
      return connection
    },
    shop() {
      const shop = openPostgresShop(schema)
      closes.push(() => shop.close())
      return shop
    },
    records: () => new RedisStore({ url: REDIS_URL }),
  }
  const { consumer, dedup } = await ways[way].start(stand)
  await tell('ready')
  await new Promise((resolve) => process.once('message', resolve))
  await consumer.close()
  await dedup.close()
  for (const close of closes) await close()
  process.disconnect()
}

process.once('disconnect', () => process.exit())
await run(JSON.parse(process.argv[2] ?? '') as Assignment)
