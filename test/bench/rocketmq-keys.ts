import type { Deduplicator } from '@oncemq/core'
import { consume } from '@oncemq/rocketmq'
import { service } from '@oncemq/test-services'
import type { Pool, PoolClient } from 'pg'
import type { Charge } from './charge.ts'
import { interleaved } from './measure.ts'
import { reported } from './report.ts'
import type { Row } from './report.ts'
import type { Consume } from './rocketmq-suite.ts'
import { polling, simpleConsumer, variant } from './rocketmq-suite.ts'
import type { Settings } from './settings.ts'

/** As many as two polls bring at most. */
const POLLS = 2
const IN_FLIGHT = 64

interface Way {
  readonly dedup: Deduplicator<PoolClient | undefined>
  readonly effect: Charge
  readonly pool: Pool
}

/** RocketMQ's keys with their record in the transaction of the effect, against the raw loop. */
export async function benchRocketmqKeys(way: Way, settings: Settings): Promise<readonly Row[]> {
  const { url } = await service('rocketmq-fast')
  const raw = polling(POLLS, undefined, ({ keys: [key = ''] }) => way.effect(way.pool, key))
  const variants = [variant('raw', url, settings, raw), variant('transactional', url, settings, managed(way))]
  const runs = await interleaved(variants, settings.rounds)
  const subject = {
    suite: 'ways',
    broker: 'rocketmq-simple',
    store: 'postgres',
    inFlight: IN_FLIGHT,
  } as const
  return reported(subject, runs)
}

function managed({ dedup, effect, pool }: Way): Consume {
  return async (place, settled) => {
    const consumer = await consume({
      consumer: simpleConsumer(place),
      dedup,
      concurrency: IN_FLIGHT,
      middlewares: [
        async (_, next) => {
          const outcome = await next()
          if (outcome.status === 'completed') settled()
          return outcome
        },
      ],
      handler: ({ keys: [key = ''] }, { tx }) => effect(tx ?? pool, key),
    })
    return () => consumer.close()
  }
}
