// A worker of the kill test: handles messages from its parent until it is killed.
import { createDeduplicator, naturalKey, stateMachine } from '@oncemq/core'
import { PostgresStore } from '@oncemq/postgres'
import pg from 'pg'

interface Job {
  readonly position: number
  readonly id: string
  readonly transition: string
}

const [url = '', way = ''] = process.argv.slice(2)
const pool = new pg.Pool({ connectionString: url, max: 6 })
pool.on('error', () => undefined)
const strategies = {
  naturalKey: () => naturalKey({ constraint: 'orders_pkey' }),
  stateMachine: () =>
    stateMachine({
      table: 'parcels',
      id: 'id',
      state: 'state',
      initial: 'pending',
      final: ['done'],
      transitions: { pay: { from: 'pending', to: 'paid' }, ship: { from: 'paid', to: 'done' } },
      read: ({ id, transition }: Job) => ({ id, transition }),
    }),
}
const dedup = createDeduplicator({
  store: new PostgresStore({ pool, transactionsMax: 4 }),
  consumerGroup: 'kills',
  strategy: strategies[way as keyof typeof strategies](),
})

process.on('message', (job: Job) => {
  void dedup
    .process({ key: undefined, message: job }, async ({ tx }) => {
      await tx.query('INSERT INTO effects VALUES ($1)', [`${job.id} ${job.transition}`])
      if (way === 'naturalKey') await tx.query('INSERT INTO orders VALUES ($1, $1)', [job.id])
    })
    .then(({ status }) => process.send?.({ position: job.position, status }))
})
process.on('disconnect', () => process.exit())
process.send?.({ ready: true })
