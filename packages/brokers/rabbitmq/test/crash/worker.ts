// One consumer process. Its configuration is its argument; it runs until it is killed.
import type { ClaimAnswer, ClaimRequest, ClaimUpdate, UpdateAnswer } from '@oncemq/core/store'
import { createDeduplicator, type Deduplicator } from '@oncemq/core'
import { SqliteStore } from '@oncemq/sqlite'
import type { Channel } from 'amqplib'
import { connect } from 'amqplib'
import { consume, contextOf, dedupChannel } from '../../src/index.ts'
import { type Point, reaper, record, type WorkerConfig } from './points.ts'

const LEASE_MS = 2000
const PREFETCH = 5
const WORK_MS = 2

const config = JSON.parse(process.argv[2] ?? '') as WorkerConfig
const { url, queue, database, history, mode } = config
const reach = reaper(config)
const { pid } = process
let isArmed = false

/** Dies around the calls that the consumer makes, not around those of the self-test at its start. */
class DeadlyStore extends SqliteStore {
  override async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    reachIfArmed('before claim')
    const answers = await super.claim(batch)
    reachIfArmed('after claim')
    return answers
  }

  override async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    const answers = await super.update(batch)
    if (batch.some(({ op }) => op === 'complete')) reachIfArmed('after complete')
    return answers
  }

  override async transaction(work: Parameters<SqliteStore['transaction']>[0]): Promise<UpdateAnswer> {
    const answer = await super.transaction(async (tx) => {
      const completion = await work(tx)
      reachIfArmed('after handler')
      return completion
    })
    reachIfArmed('after complete')
    return answer
  }
}

function reachIfArmed(point: Point): void {
  if (isArmed) reach(point)
}

function deadly(channel: Channel): Channel {
  const ack = channel.ack.bind(channel)
  channel.ack = (...args) => {
    reach('before ack')
    ack(...args)
  }
  return channel
}

async function work(key: string | undefined, epoch: number): Promise<void> {
  record(history, { type: 'run', pid, key: key ?? 'none', epoch })
  reach('in handler')
  await new Promise((resolve) => setTimeout(resolve, WORK_MS))
}

async function ready(dedup: Pick<Deduplicator, 'on' | 'open'>): Promise<void> {
  dedup.on('completed', ({ key }) => record(history, { type: 'done', pid, key: key ?? 'none' }))
  dedup.on('lost', ({ key }) => record(history, { type: 'lost', pid, key: key ?? 'none' }))
  await dedup.open()
  isArmed = true
}

const store = new DeadlyStore({ path: database })
const settings = { store, consumerGroup: 'crash', leaseMs: LEASE_MS }
const connection = await connect(url)
const channel = deadly(await connection.createChannel())

if (mode === 'lease') {
  const dedup = createDeduplicator(settings)
  await ready(dedup)
  const wrapped = dedupChannel(channel, dedup)
  await wrapped.prefetch(PREFETCH)
  const handle = async (message: object & Parameters<Channel['ack']>[0]): Promise<void> => {
    const { key, epoch = 0 } = contextOf(message) ?? {}
    await work(key, epoch)
    reach('after handler')
    wrapped.ack(message)
  }
  await wrapped.consume(queue, (message) => void (message !== null && handle(message)))
} else {
  const dedup = createDeduplicator({ ...settings, strategy: 'transactional' })
  await ready(dedup)
  await consume({
    channel,
    queue,
    dedup,
    prefetch: PREFETCH,
    handler: async (_message, { key, epoch, tx }) => {
      tx.prepare('INSERT INTO effects (key) VALUES (?)').run(key ?? null)
      await work(key, epoch)
    },
  })
}
