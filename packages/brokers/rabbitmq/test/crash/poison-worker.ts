// A consumer process that dies by each poison that it handles. Its configuration is its argument.
import { createDeduplicator } from '@oncemq/core'
import { SqliteStore } from '@oncemq/sqlite'
import type { Channel } from 'amqplib'
import { connect } from 'amqplib'
import rascal from 'rascal'
import { consume, contextOf, dedupChannel, dedupListener } from '../../src/index.ts'
import type { PoisonConfig } from './points.ts'
import { record } from './points.ts'

const { url, queue, database, history, prefetch, form } = JSON.parse(process.argv[2] ?? '') as PoisonConfig
const WORK_MS = 300
const DEATH_MS = 100
const LOOK_MS = 20

function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs))
}

const dedup = createDeduplicator({
  store: new SqliteStore({ path: database }),
  consumerGroup: 'poison',
  leaseMs: 2000,
  attemptsMax: 3,
})

async function handle({ content }: { content: Buffer }, key?: string, epoch = 0): Promise<void> {
  record(history, { type: 'run', pid: process.pid, key: content.toString(), epoch })
  if (content.toString().startsWith('poison')) {
    await sleep(DEATH_MS)
    process.kill(process.pid, 'SIGKILL')
  }
  await sleep(WORK_MS)
  record(history, { type: 'done', pid: process.pid, key: key ?? content.toString() })
}

async function consumeManaged(): Promise<void> {
  await consume({
    connect: () => connect(url),
    queue,
    dedup,
    prefetch,
    handler: (message, { key, epoch }) => handle(message, key, epoch),
  })
}

async function wrapped(): Promise<Channel> {
  const connection = await connect(url)
  const channel = dedupChannel(await connection.createChannel(), dedup)
  await channel.prefetch(prefetch)
  return channel
}

async function consumeWrapped(): Promise<void> {
  const channel = await wrapped()
  await channel.consume(queue, (message) => {
    if (message === null) return
    const { key, epoch } = contextOf(message) ?? {}
    void handle(message, key, epoch).then(() => channel.ack(message))
  })
}

/** As many at once as the others have. */
async function getWrapped(): Promise<void> {
  const channel = await wrapped()
  let running = 0
  for (;;) {
    const message = running < prefetch && (await channel.get(queue))
    if (message === false) {
      await sleep(LOOK_MS)
      continue
    }
    running += 1
    const { key, epoch } = contextOf(message) ?? {}
    void handle(message, key, epoch).then(() => {
      running -= 1
      channel.ack(message)
    })
  }
}

async function listen(): Promise<void> {
  const parked = `${queue}.parked`
  const broker = await rascal.BrokerAsPromised.create({
    vhosts: {
      '/': {
        connection: { url },
        queues: [{ name: queue, check: false, assert: false }, parked],
        publications: { parked: { queue: parked } },
        subscriptions: { mine: { queue, prefetch } },
      },
    },
  })
  broker.on('error', () => undefined)
  const subscription = await broker.subscribe('mine')
  const onDeadLetter = { strategy: 'forward', publication: 'parked' }
  const listener = dedupListener<Buffer>(
    (_, content, ackOrNack) => void handle({ content }).then(() => ackOrNack()),
    dedup,
    { onDeadLetter },
  )
  subscription.on('message', listener)
}

const forms = {
  managed: consumeManaged,
  'wrapped channel': consumeWrapped,
  get: getWrapped,
  rascal: listen,
}
await forms[form]()
