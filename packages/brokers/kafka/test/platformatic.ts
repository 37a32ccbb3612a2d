import { Admin, Consumer, Producer } from '@platformatic/kafka'
import type { ConsumerOptions, ProducerOptions } from '@platformatic/kafka'
import type { PlatformaticClient } from '../src/index.ts'

/** How soon a member that is cut off is no member any more. */
export const SESSION_MS = 6000
export const HEARTBEAT_MS = 500

interface Broker {
  readonly host: string
  readonly port: number
}

/** What connections are got from, in all parts of the client. */
interface Pool {
  get(broker: Broker, callback: never): unknown
}

export interface PlatformaticOptions {
  /** Instead of where the broker says that it is. */
  readonly port?: number | undefined
  readonly groupId?: string
  readonly sessionTimeout?: number
}

/** The classes of the client, as a user gives them, with waits that are short enough for tests. */
export function platformaticOf(host: string, given: PlatformaticOptions = {}): PlatformaticClient {
  const { port, ...options } = given
  const through = (client: { readonly connections: unknown }): void => {
    if (port !== undefined) redirect(client.connections as Pool, port)
  }
  return {
    Consumer: class extends Consumer {
      constructor(made: ConsumerOptions<Buffer, Buffer, Buffer, Buffer>) {
        const times = {
          sessionTimeout: SESSION_MS,
          rebalanceTimeout: 10_000,
          heartbeatInterval: HEARTBEAT_MS,
        }
        super({ ...made, ...times, ...options })
        through(this)
      }
    },
    Producer: class extends Producer {
      constructor(made: ProducerOptions<Buffer, Buffer, Buffer, Buffer>) {
        super(made)
        through(this)
      }
    },
    Admin,
    options: {
      clientId: 'test',
      bootstrapBrokers: [port === undefined ? host : `127.0.0.1:${port}`],
      retryDelay: 100,
    },
  }
}

/** The broker tells its own address, and a client goes there past a proxy. */
function redirect(pool: Pool, port: number): void {
  const get = pool.get.bind(pool)
  pool.get = (broker, callback) => get({ ...broker, host: '127.0.0.1', port }, callback)
}
