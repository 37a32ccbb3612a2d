import { StoreError } from '@oncemq/core/store'
import type { Redis } from 'ioredis'
import type { Commands } from './client.ts'
import { commandsOf } from './client.ts'
import { storeError, isUnknownScript } from './errors.ts'
import type { Settings } from './options.ts'
import type { Script } from './statements.ts'

const RECONNECT_STEP_MS = 50
const RECONNECT_MAX_MS = 1000

/** A client that can be used, and how to end what was opened for it. */
export interface Opened {
  readonly commands: Commands
  close(): void
}

/** Gives the injected client, or one of the store's own. */
export async function connect({ source, callTimeoutMs }: Settings): Promise<Opened> {
  if ('commands' in source) return { commands: source.commands, close: () => {} }
  const driver = await loadDriver()
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
    throw storeError(lastError ?? error)
  }
  return { commands: commandsOf(client) as Commands, close: () => client.disconnect() }
}

async function loadDriver(): Promise<{ Redis: typeof Redis }> {
  try {
    return await import('ioredis')
  } catch (cause) {
    throw new StoreError(
      'ONCEMQ_STORE_REFUSED',
      `RedisStore: expected the package ioredis for { url }, but it cannot be loaded; ` +
        `install ioredis 6, or give { client } with a client that you have`,
      { cause },
    )
  }
}

/** The client as the store calls it: every call has a bound, and every failure is a {@link StoreError}. */
export class Connection {
  readonly commands: Commands
  readonly #opened: Opened
  readonly #settings: Settings

  constructor(opened: Opened, settings: Settings) {
    this.commands = opened.commands
    this.#opened = opened
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
  within<Answer>(call: () => Promise<Answer>): Promise<Answer> {
    const { clock, callTimeoutMs } = this.#settings
    return new Promise((resolve, reject) => {
      const timer = clock.after(callTimeoutMs, () => reject(timeout(callTimeoutMs)))
      const fail = (error: unknown): void => {
        timer.cancel()
        reject(storeError(error))
      }
      try {
        call().then((answer) => {
          timer.cancel()
          resolve(answer)
        }, fail)
      } catch (error) {
        fail(error)
      }
    })
  }

  close(): void {
    this.#opened.close()
  }
}

function timeout(callTimeoutMs: number): StoreError {
  return new StoreError(
    'ONCEMQ_STORE_TIMEOUT',
    `RedisStore: expected an answer within ${callTimeoutMs} ms, received none; ` +
      `look at the server and at the network, or raise callTimeoutMs`,
  )
}
