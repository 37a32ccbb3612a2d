/** `ioredis` 5 or 6, as far as the store needs it. */
export interface IoredisClient {
  evalsha(sha1: string, keyCount: number, ...keysAndArgs: string[]): Promise<unknown>
  eval(script: string, keyCount: number, ...keysAndArgs: string[]): Promise<unknown>
  info(): Promise<unknown>
  config(subcommand: 'GET', parameter: string): Promise<unknown>
}

/** `Cluster` of `ioredis` 5 or 6. */
export interface IoredisCluster {
  readonly isCluster: boolean
  evalsha(sha1: string, keyCount: number, ...keysAndArgs: string[]): Promise<unknown>
  eval(script: string, keyCount: number, ...keysAndArgs: string[]): Promise<unknown>
  nodes(role: 'master'): readonly IoredisClient[]
}

interface KeysAndArguments {
  keys: string[]
  arguments: string[]
}

/** A client or pool of `redis` (node-redis) 5 or 6. */
export interface NodeRedisClient {
  evalSha(sha1: string, options: KeysAndArguments): Promise<unknown>
  eval(script: string, options: KeysAndArguments): Promise<unknown>
  info(): Promise<unknown>
  configGet(parameter: string): Promise<unknown>
}

/** A cluster of `redis` (node-redis) 5 or 6. */
export interface NodeRedisCluster {
  readonly masters: readonly unknown[]
  evalSha(sha1: string, options: KeysAndArguments): Promise<unknown>
  eval(script: string, options: KeysAndArguments): Promise<unknown>
  nodeClient(node: never): unknown
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

/** The clients that the store works with, connected by their owner, for one server or for a cluster. */
export type RedisClient = IoredisClient | IoredisCluster | NodeRedisClient | NodeRedisCluster

/** What can be asked of one server. */
export interface ServerQuestions {
  info(): Promise<unknown>
  config(parameter: string): Promise<unknown>
}

/** A client behind one face. Keys go where the client knows them to be keys: it may prefix and route them. */
export interface Commands {
  /** Whether the keys of a script must lie in one slot. */
  readonly isCluster: boolean
  evalSha(sha1: string, keys: string[], args: string[]): Promise<unknown>
  eval(lua: string, keys: string[], args: string[]): Promise<unknown>
  /** The servers that hold records: one, or a cluster's masters. */
  servers(): Promise<readonly ServerQuestions[]>
}

/** Text of a reply; a client may be set to give bytes for strings, or strings for numbers. */
export function textOf(reply: unknown): string {
  return typeof reply === 'string'
    ? reply
    : reply instanceof Uint8Array
      ? utf8.decode(reply)
      : `${Number(reply)}`
}

/** Knows the client by its methods; `undefined` when it is none of the four. */
export function commandsOf(client: unknown): Commands | undefined {
  if (typeof client !== 'object' || client === null) return undefined
  if (hasMethods(client, ['evalsha', 'eval'])) {
    // A client for one server has `isCluster` too, and has no `nodes`.
    if (hasMethods(client, ['nodes'])) return ioredisCluster(client as IoredisCluster)
    if (hasMethods(client, ['info', 'config'])) return ioredisClient(client as IoredisClient)
  }
  if (hasMethods(client, ['evalSha', 'eval'])) {
    if (hasMethods(client, ['nodeClient'])) return nodeRedisCluster(client as NodeRedisCluster)
    if (hasMethods(client, ['info', 'configGet'])) return nodeRedisClient(client as NodeRedisClient)
  }
  return undefined
}

function hasMethods(client: object, names: readonly string[]): boolean {
  return names.every((name) => typeof (client as Record<string, unknown>)[name] === 'function')
}

function ioredisScripts(client: IoredisClient | IoredisCluster): Pick<Commands, 'evalSha' | 'eval'> {
  return {
    evalSha: (sha1, keys, args) => client.evalsha(sha1, keys.length, ...keys, ...args),
    eval: (lua, keys, args) => client.eval(lua, keys.length, ...keys, ...args),
  }
}

function ioredisQuestions(client: IoredisClient): ServerQuestions {
  return { info: () => client.info(), config: (parameter) => client.config('GET', parameter) }
}

function ioredisClient(client: IoredisClient): Commands {
  return { isCluster: false, ...ioredisScripts(client), servers: async () => [ioredisQuestions(client)] }
}

function ioredisCluster(cluster: IoredisCluster): Commands {
  return {
    isCluster: true,
    ...ioredisScripts(cluster),
    async servers() {
      // It knows its nodes only when it is connected, which it is not before it answers something.
      await cluster.eval('return 1', 0)
      return cluster.nodes('master').map(ioredisQuestions)
    },
  }
}

function nodeRedisScripts(client: NodeRedisClient | NodeRedisCluster): Pick<Commands, 'evalSha' | 'eval'> {
  return {
    evalSha: (sha1, keys, args) => client.evalSha(sha1, { keys, arguments: args }),
    eval: (lua, keys, args) => client.eval(lua, { keys, arguments: args }),
  }
}

function nodeRedisQuestions(client: NodeRedisClient): ServerQuestions {
  return { info: () => client.info(), config: (parameter) => client.configGet(parameter) }
}

function nodeRedisClient(client: NodeRedisClient): Commands {
  return { isCluster: false, ...nodeRedisScripts(client), servers: async () => [nodeRedisQuestions(client)] }
}

function nodeRedisCluster(cluster: NodeRedisCluster): Commands {
  return {
    isCluster: true,
    ...nodeRedisScripts(cluster),
    async servers() {
      const clients = cluster.masters.map((node) => cluster.nodeClient(node as never))
      return ((await Promise.all(clients)) as NodeRedisClient[]).map(nodeRedisQuestions)
    },
  }
}
