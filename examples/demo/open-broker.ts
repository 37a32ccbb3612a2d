import type { DemoBroker } from './demo-broker.ts'
import { openEmbedded } from './embedded.ts'
import { Failure } from './failure.ts'
import { openRabbitmq } from './rabbitmq.ts'

const REAL = 'rabbitmq-4.0'

/** The broker that was asked for. @throws Failure when it cannot be had. */
export async function openBroker(wanted: string, say: (message: string) => void): Promise<DemoBroker> {
  if (wanted === 'embedded') return openEmbedded()
  if (wanted !== 'real') return openRabbitmq(wanted)
  // Loaded where it is needed: it brings the recipes of all servers along.
  const { service, Unavailable } = await import('@oncemq/test-services')
  say(`starting ${REAL}; the first time its packages are fetched`)
  try {
    const server = await service(REAL, { own: true })
    return await openRabbitmq(server.url, () => server.close())
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error
    throw new Failure(
      `--real: expected to start a RabbitMQ, received: ${error.message}; ` +
        `start one yourself and name it by --broker amqp://host:port`,
      { cause: error },
    )
  }
}
