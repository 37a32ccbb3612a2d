import type { Clock } from '@oncemq/core/store'
import { OptionError } from '@oncemq/core'
import { givenOptions, received, requireClock, requireInteger, systemClock } from '@oncemq/core/store'
import type { Commands, RedisClient } from './client.ts'
import { commandsOf } from './client.ts'

/** Options of {@link RedisStore}: either `client` or `url`, and what has a default. */
export interface RedisStoreOptions {
  /**
   * Your own client, connected by you, which the store neither configures nor closes: `Redis` or `Cluster` of
   * `ioredis` 5 or 6, or what `createClient`, `createClientPool` or `createCluster` of `redis` 5 or 6
   * gives. A key prefix of the client is kept.
   */
  client?: RedisClient
  /**
   * The server's address, `redis://` or `rediss://`: the store connects by the package `ioredis` and closes
   * what it opened. For one server; give a `client` for a cluster.
   */
  url?: string
  /**
   * What the keys begin with: letters, digits, `_`, `-`, `.` or `:`, 1 to 60 characters. A record's key is
   * `<prefix>:{<tag>}:<id>`.
   * @default 'oncemq'
   */
  prefix?: string
  /**
   * After how long a call is given up. Milliseconds, 1 to 600000. The default is below the core's
   * `storeTimeoutMs`, so that nothing stays behind of a call that the core has given up.
   * @default 4000
   */
  callTimeoutMs?: number
  /** Time for timeouts, for tests. The system's by default. Leases follow the server's own clock. */
  clock?: Clock
}

/** The defaults of {@link RedisStoreOptions}, the one place that has them. */
export const redisStoreDefaults = Object.freeze({
  prefix: 'oncemq',
  callTimeoutMs: 4000,
})

/** Options as the store uses them: complete, checked and frozen. */
export interface Settings {
  readonly source: { readonly commands: Commands } | { readonly url: string }
  readonly prefix: string
  readonly callTimeoutMs: number
  readonly clock: Clock
}

const CALL_TIMEOUT_MAX_MS = 600_000
const URL_SCHEME = /^rediss?:\/\//
// No braces: those around the tag must be the first that a cluster finds.
const PREFIX = /^[a-z0-9_.:-]{1,60}$/i

const known = new Set([...Object.keys(redisStoreDefaults), 'client', 'url', 'clock'])

/**
 * Checks the options once. @throws OptionError that says what was expected, what was received, and the
 * remedy.
 */
export function settingsOf(options: RedisStoreOptions): Settings {
  const given = givenOptions('RedisStore', options, known)
  const { prefix, callTimeoutMs } = { ...redisStoreDefaults, ...given }
  const source = sourceOf(given)
  requirePrefix(prefix)
  requireInteger('callTimeoutMs', callTimeoutMs, 1, CALL_TIMEOUT_MAX_MS)
  const { clock = systemClock } = given
  requireClock(clock)
  return Object.freeze({ source, prefix, callTimeoutMs, clock })
}

function sourceOf({ client, url }: RedisStoreOptions): Settings['source'] {
  if ((client === undefined) === (url === undefined)) {
    throw new OptionError(
      `RedisStore: expected either client or url, received ${url === undefined ? 'neither' : 'both'}; ` +
        `give { client } with a client of ioredis or redis, or { url: 'redis://127.0.0.1:6379' }`,
    )
  }
  return url === undefined ? { commands: requireClient(client) } : { url: requireUrl(url) }
}

function requireUrl(url: unknown): string {
  if (typeof url === 'string' && URL_SCHEME.test(url) && URL.canParse(url)) return url
  const what = typeof url === 'string' ? 'another string' : received(url)
  throw new OptionError(
    `url: expected a URL that begins with redis:// or rediss://, received ${what}; ` +
      `give one such as 'redis://127.0.0.1:6379'`,
  )
}

function requireClient(client: unknown): Commands {
  const commands = commandsOf(client)
  if (commands !== undefined) return commands
  throw new OptionError(
    `client: expected a client of ioredis or redis, version 5 or 6, received ${received(client)}; ` +
      `give new Redis(...) of ioredis, await createClient(...).connect() of redis, or { url }`,
  )
}

function requirePrefix(prefix: unknown): void {
  if (typeof prefix === 'string' && PREFIX.test(prefix)) return
  const what = typeof prefix === 'string' ? 'another string' : received(prefix)
  throw new OptionError(
    `prefix: expected letters, digits, _, -, . or :, at most 60 in all, received ${what}; ` +
      `take a plain name such as '${redisStoreDefaults.prefix}'`,
  )
}
