import { importPeer, storeError, within } from '@oncemq/core/store'
import type { StoreError } from '@oncemq/core/store'
import type { Commands } from './client.ts'
import { commandsOf } from './client.ts'
import { STORE, asStoreError, isUnknownScript } from './errors.ts'
import type { Settings } from './options.ts'
import type { Script } from './statements.ts'

const RECONNECT_STEP_MS = 50
const RECONNECT_MAX_MS = 1000
const PEER = Object.freeze({ store: STORE, name: 'ioredis', instead: '{ client }' })

/** A client that can be used, and how to end what was opened for it. */
export interface Client {
  readonly commands: Commands
  close(): void
}

/** Gives the injected client, or one of the store's own. */
export async function connect({ source, callTimeoutMs }: Settings): Promise<Client> {
  if ('commands' in source) return { commands: source.commands, close: () => {} }
  const driver = await importPeer(PEER, () => import('ioredis'))
  const client = new driver.Redis(source.url, {
    lazyConnect: true,
    connectTimeout: callTimeoutMs,
    // A connection on which nothing comes back is dead, although the system may not know for many minutes.
    socketTimeout: callTimeoutMs,
    // To wait and to ask again is the core's work. What waits in the client would be done long after.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => Math.min(attempt * RECONNECT_STEP_MS, RECONNECT_MAX_MS),
  })
  // Each call has its own error; without a listener this one would be printed besides.
  let lastError: unknown
  client.on('error', (error: unknown) => (lastError = error))
  try {
    await client.connect()
  } catch (error) {
    client.disconnect()
    // ioredis says only that the connection is closed; the event said why.
    throw asStoreError(lastError ?? error)
  }
  return { commands: commandsOf(client) as Commands, close: () => client.disconnect() }
}

/** The client as the store calls it: every call has a bound, and every failure is a {@link StoreError}. */
export class Connection {
  readonly commands: Commands
  readonly #client: Client
  readonly #settings: Settings

  constructor(client: Client, settings: Settings) {
    this.commands = client.commands
    this.#client = client
    this.#settings = settings
  }

  /** Runs a script by its hash, or by its text where the server does not know it yet. */
  run({ lua, sha1 }: Script, keys: string[], args: string[]): Promise<unknown> {
    return this.within(async () => {
      try {
        return await this.commands.evalSha(sha1, keys, args)
      } catch (error) {
        if (!isUnknownScript(error)) throw error
        return await this.commands.eval(lua, keys, args)
      }
    })
  }

  /** A server that is stopped leaves the client waiting for ever, so that the timeout alone bounds a call. */
  async within<Answer>(call: () => Promise<Answer>): Promise<Answer> {
    const { clock, callTimeoutMs } = this.#settings
    try {
      return await within(call, {
        clock,
        timeoutMs: callTimeoutMs,
        timeoutError: () => timeout(callTimeoutMs),
      })
    } catch (error) {
      throw asStoreError(error)
    }
  }

  close(): void {
    this.#client.close()
  }
}

function timeout(callTimeoutMs: number): StoreError {
  return storeError({ store: STORE, expected: `an answer within ${callTimeoutMs} ms` }, [
    'ONCEMQ_STORE_TIMEOUT',
    'received none',
    'look at the server and at the network, or raise callTimeoutMs',
  ])
}
