import { FaultProxy } from '@oncemq/test-services/proxy'
import type { PushConsumer, SimpleConsumer } from 'rocketmq-client-nodejs'

export type Client = PushConsumer | SimpleConsumer

type Call = (this: unknown, endpoints: unknown, ...rest: unknown[]) => unknown

/** What both kinds of consumers call the server by. */
interface Insides {
  readonly endpoints: unknown
  getRpcClientManager(): Record<string, Call>
}

/** A consumer whose connections can be cut. */
export interface Wired<Consumer extends Client> {
  readonly consumer: Consumer
  readonly calls: Record<string, Call>
  /** From now on it reaches nobody. */
  readonly cut: () => void
  readonly close: () => Promise<void>
}

/**
 * Makes a consumer all of whose calls go through a proxy. The server tells its own address, and a client goes
 * there past the proxy: so each call is given the proxy's.
 */
export async function wire<Consumer extends Client>(
  url: string,
  make: (endpoints: string) => Consumer,
): Promise<Wired<Consumer>> {
  const proxy = await FaultProxy.open(url)
  const consumer = make(`127.0.0.1:${proxy.port}`)
  const { endpoints, calls } = insidesOf(consumer)
  for (const name of Object.getOwnPropertyNames(Object.getPrototypeOf(calls))) {
    const call = calls[name]
    if (call === undefined || name === 'constructor' || name === 'close') continue
    calls[name] = (_, ...rest) => call.call(calls, endpoints, ...rest)
  }
  return { consumer, calls, cut: () => proxy.refuse(), close: () => proxy.close() }
}

function insidesOf(consumer: Client): { endpoints: unknown; calls: Record<string, Call> } {
  const insides = consumer as unknown as Insides
  return { endpoints: insides.endpoints, calls: insides.getRpcClientManager() }
}
