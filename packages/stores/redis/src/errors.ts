import { isOncemqError, storeError } from '@oncemq/core/store'
import type { Explanation, StoreError } from '@oncemq/core/store'

export const STORE = 'RedisStore'

const NOT_ALLOWED: Explanation = [
  'ONCEMQ_STORE_REFUSED',
  'this user may not do that',
  "give the right name and password, and the commands and keys of the README's ACL line",
]
const MOVING: Explanation = [
  'ONCEMQ_STORE_UNAVAILABLE',
  'the cluster is moving the keys or electing a master',
  'nothing is lost: the operation is tried again',
]
// Refused, and so not the fault of the other entries of its batch: the core asks for those again without it.
export const FOREIGN: Explanation = [
  'ONCEMQ_STORE_REFUSED',
  'there is a key that is no record of this version',
  'forget the key, choose another prefix, or use the version of @oncemq/redis that wrote it',
]
const NO_CONNECTION: Explanation = [
  'ONCEMQ_STORE_UNAVAILABLE',
  'there is no working connection',
  'look at the server and the network; the operation is tried again',
]
const UNKNOWN: Explanation = [
  'ONCEMQ_STORE_UNAVAILABLE',
  'the client failed',
  'the cause says more; the operation is tried again',
]

/** By what an error reply says, its first word as a rule. */
const explanations: Readonly<Record<string, Explanation>> = {
  OOM: [
    'ONCEMQ_STORE_FULL',
    'its memory is full',
    'raise maxmemory, or shorten retentionMs; records are not evicted',
  ],
  READONLY: [
    'ONCEMQ_STORE_UNAVAILABLE',
    'it is a replica, which cannot write',
    'connect to the master; after a failover the client finds the new one',
  ],
  LOADING: [
    'ONCEMQ_STORE_UNAVAILABLE',
    'it is reading its data from the disk',
    'wait until it has started; the operation is tried again',
  ],
  MASTERDOWN: [
    'ONCEMQ_STORE_UNAVAILABLE',
    'it is a replica whose master is down',
    'connect to the master; after a failover the client finds the new one',
  ],
  MISCONF: [
    'ONCEMQ_STORE_UNAVAILABLE',
    'it cannot write to its disk and refuses to change data',
    "make room on the server's disk, and look at its log",
  ],
  NOREPLICAS: [
    'ONCEMQ_STORE_UNAVAILABLE',
    'too few replicas are connected',
    'start the replicas, or lower min-replicas-to-write',
  ],
  BUSY: ['ONCEMQ_STORE_UNAVAILABLE', 'another script keeps it busy', 'look for scripts that run for long'],
  CLUSTERDOWN: [
    'ONCEMQ_STORE_UNAVAILABLE',
    'the cluster is down',
    'look at the state of its nodes; the operation is tried again',
  ],
  TRYAGAIN: MOVING,
  ASK: MOVING,
  MOVED: [
    'ONCEMQ_STORE_REFUSED',
    'it is a node of a cluster, and the client is for one server',
    'give { client } with the Cluster of ioredis, or createCluster of redis',
  ],
  CROSSSLOT: [
    'ONCEMQ_STORE_REFUSED',
    'it is part of a cluster, and the client is for one server',
    'give { client } with the Cluster of ioredis, or createCluster of redis',
  ],
  NOPERM: NOT_ALLOWED,
  NOAUTH: NOT_ALLOWED,
  WRONGPASS: NOT_ALLOWED,
  'ACL failure': NOT_ALLOWED,
  'The user executing the script': NOT_ALLOWED,
  WRONGTYPE: FOREIGN,
  ONCEMQ_LAYOUT: FOREIGN,
}

// Older servers put the script's own error behind a preface, so that the word is looked for everywhere.
const CODE_WORD = new RegExp(`\\b(${Object.keys(explanations).join('|')})\\b`)
// How a client says that it has no connection: by the system's code, by a class, and ioredis by a text alone.
const NETWORK = /^E[A-Z_]+$/
const CONNECTION_CLASS = /^\w*(?:[Cc]onnect|Socket|Closed|Offline|MaxRetries)\w*Error$/
const CLOSED = 'Connection is closed.'
// Each managed service has words of its own for a command that it does not have.
const HIDDEN = /^(?:NOPERM|ERR)\b/

/** Whether this user, or this service, hides the server's settings. */
export function isHidden(error: unknown): boolean {
  return error instanceof Error && HIDDEN.test(error.message)
}

/** Whether the server does not know the script by its hash: it was restarted, or its scripts were flushed. */
export function isUnknownScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT')
}

/**
 * What the store throws for `error`. The message says nothing of the client's own: that may quote the
 * command.
 */
export function asStoreError(error: unknown): StoreError {
  if (isOncemqError(error)) return error as StoreError
  const word = error instanceof Error ? CODE_WORD.exec(error.message)?.[1] : undefined
  const detail = word === undefined ? connectionFailure(error) : undefined
  const parts = { store: STORE, expected: 'an answer of the server', detail, cause: withoutCommand(error) }
  const otherwise = detail === undefined ? UNKNOWN : NO_CONNECTION
  return storeError(parts, explanations[word ?? ''] ?? otherwise)
}

/** The code, or the client's class, of a failure that is no answer of the server. */
function connectionFailure(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  if ('code' in error && typeof error.code === 'string' && NETWORK.test(error.code)) return error.code
  if (error instanceof Error && error.message === CLOSED) return 'closed'
  return CONNECTION_CLASS.exec(error.constructor.name)?.[0]
}

/** ioredis hangs the command on its errors, with every key and label in it, for any logger to print. */
function withoutCommand(error: unknown): unknown {
  if (error instanceof Error && 'command' in error) delete error.command
  return error
}
