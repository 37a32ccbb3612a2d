import type { DemoBroker } from './demo-broker.ts'
import { openEmbedded } from './embedded.ts'
import { Failure } from './failure.ts'

type Open = (url: string, closed?: () => Promise<void>) => Promise<DemoBroker>

/** A broker that runs somewhere: one of ours, started under its name, or one of yours, named by its URL. */
interface Kind {
  readonly title: string
  readonly server: 'rabbitmq-4.0' | 'rocketmq-fast' | 'kafka-4.4'
  readonly protocols: readonly string[]
  /** Loaded where it is needed, with its client. */
  readonly load: () => Promise<Open>
}

const kinds: Readonly<Record<string, Kind>> = {
  rabbitmq: {
    title: 'RabbitMQ',
    server: 'rabbitmq-4.0',
    protocols: ['amqp:', 'amqps:'],
    load: async () => (await import('./rabbitmq.ts')).openRabbitmq,
  },
  rocketmq: {
    title: 'RocketMQ',
    server: 'rocketmq-fast',
    protocols: ['rocketmq:'],
    load: async () => (await import('./rocketmq.ts')).openRocketmq,
  },
  kafka: {
    title: 'Kafka',
    server: 'kafka-4.4',
    protocols: ['kafka:'],
    load: async () => (await import('./kafka.ts')).openKafka,
  },
}

/** The broker that was asked for. @throws Failure when it cannot be had. */
export async function openBroker(wanted: string, say: (message: string) => void): Promise<DemoBroker> {
  if (wanted === 'embedded') return openEmbedded()
  const kind = kinds[wanted]
  if (kind !== undefined) return startBroker(kind, say)
  const { protocol } = new URL(wanted)
  const named = Object.values(kinds).find(({ protocols }) => protocols.includes(protocol))
  if (named === undefined) throw new Error(`no broker is reached by ${protocol}`)
  return (await named.load())(wanted)
}

async function startBroker({ title, server: name, load }: Kind, say: (message: string) => void) {
  const open = await load()
  // It brings the recipes of all servers along.
  const { service, Unavailable } = await import('@oncemq/test-services')
  say(`starting ${name}; the first time its packages are fetched`)
  try {
    const server = await service(name, { own: true })
    return await open(server.url, () => server.close())
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error
    throw new Failure(
      `npm start: expected to start a ${title}, received: ${error.message}; ` +
        `start one yourself and name it by --broker <url>, see npm start -- --help`,
      { cause: error },
    )
  }
}
