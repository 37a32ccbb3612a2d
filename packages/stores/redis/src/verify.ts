import type { Finding } from '@oncemq/core/store'
import type { ServerQuestions } from './client.ts'
import { textOf } from './client.ts'
import type { Connection } from './connection.ts'
import { isHidden } from './errors.ts'

/** What was found, and whether what is answered is on the disks of all servers. */
export interface Verdict {
  readonly findings: readonly Finding[]
  readonly durable: boolean
}

/** A server's settings, as far as it shows them. */
interface ServerSettings {
  readonly info: ReadonlyMap<string, string> | undefined
  readonly appendfsync: string | undefined
  readonly save: string | undefined
}

/** What the user of these servers should know about their settings. Reads them and changes nothing. */
export async function verify(connection: Connection): Promise<Verdict> {
  const servers = await connection.within(() => connection.commands.servers())
  const settings = await Promise.all(servers.map((server) => settingsOf(server, connection)))
  const judged = settings.flatMap((each) => judge(each, connection.commands.isCluster))
  // The nodes of a cluster are set alike, as a rule: what is true of several is said once.
  const findings = [...new Map(judged.map((finding) => [finding.code, finding])).values()]
  return { findings, durable: settings.length > 0 && settings.every(isDurable) }
}

function judge(settings: ServerSettings, clientIsCluster: boolean): readonly Finding[] {
  const { info } = settings
  if (info === undefined) return [hidden]
  const judgements = [
    eviction(info.get('maxmemory_policy')),
    persistence(settings),
    replication(Number(info.get('connected_slaves') ?? 0)),
    info.get('cluster_enabled') === '1' && !clientIsCluster ? clusterClient : undefined,
  ]
  return judgements.filter((finding) => finding !== undefined)
}

async function settingsOf(server: ServerQuestions, connection: Connection): Promise<ServerSettings> {
  const ask = (question: () => Promise<unknown>): Promise<unknown> =>
    connection.within(() => question().catch(undefinedIfHidden))
  const info = await ask(() => server.info())
  return {
    info: info === undefined ? undefined : linesOf(textOf(info)),
    appendfsync: configured('appendfsync', await ask(() => server.config('appendfsync'))),
    save: configured('save', await ask(() => server.config('save'))),
  }
}

function undefinedIfHidden(error: unknown): undefined {
  if (!isHidden(error)) throw error
}

/** INFO answers lines of `name:value`. */
function linesOf(info: string): ReadonlyMap<string, string> {
  const lines = info.split('\r\n').map((line) => line.split(':') as [string, string?])
  return new Map(lines.map(([name, value = '']) => [name, value]))
}

/** CONFIG GET answers a list, a map or an object of names and values, by client and protocol. */
function configured(name: string, answer: unknown): string | undefined {
  if (Array.isArray(answer)) return answer.length === 2 ? textOf(answer[1]) : undefined
  if (answer instanceof Map) return configured(name, [...(answer as Map<unknown, unknown>)].flat())
  const value = (answer as Record<string, unknown> | null | undefined)?.[name]
  return value === undefined ? undefined : textOf(value)
}

function isDurable({ info, appendfsync }: ServerSettings): boolean {
  return info?.get('aof_enabled') === '1' && appendfsync === 'always'
}

function eviction(policy: string | undefined): Finding | undefined {
  if (policy === undefined) return hidden
  if (policy === 'noeviction') return undefined
  return {
    severity: 'error',
    code: 'redis-eviction',
    found: `maxmemory-policy is ${policy}: a full memory drops records, and their messages run again.`,
    remedy: 'Set maxmemory-policy noeviction, or give oncemq a server of its own that has it.',
  }
}

function persistence({ info, appendfsync, save }: ServerSettings): Finding | undefined {
  if (info?.get('aof_enabled') !== '1') return save === '' ? noPersistence : noLog
  if (appendfsync === 'always') return undefined
  if (appendfsync === undefined) return hidden
  return {
    severity: 'warning',
    code: 'redis-appendfsync',
    found:
      `appendfsync is ${appendfsync}: what was completed ` +
      `${appendfsync === 'everysec' ? 'in the last second' : 'since the system last wrote to the disk'} ` +
      `before a crash of the server is forgotten, and those messages may run again.`,
    remedy: 'Set appendfsync always, where that matters more than speed.',
  }
}

function replication(replicas: number): Finding | undefined {
  if (replicas === 0) return undefined
  return {
    severity: 'info',
    code: 'redis-replication',
    found:
      'Replicas follow behind the master: what was completed just before a failover may be forgotten, and ' +
      'those messages may run again. WAIT narrows this and does not end it.',
    remedy: 'Use a store with consensus or synchronous replicas, where no message may ever run twice.',
  }
}

const noPersistence: Finding = Object.freeze({
  severity: 'warning',
  code: 'redis-persistence',
  found: 'Persistence is off: a restart of the server forgets every record, and messages run again.',
  remedy: 'Set appendonly yes, and appendfsync always or everysec.',
})

const noLog: Finding = Object.freeze({
  severity: 'warning',
  code: 'redis-persistence',
  found:
    'appendonly is off: a restart of the server forgets all that was completed since the last snapshot, ' +
    'and those messages may run again.',
  remedy: 'Set appendonly yes, and appendfsync always or everysec.',
})

const hidden: Finding = Object.freeze({
  severity: 'info',
  code: 'redis-settings-hidden',
  found: 'The server does not show all of its settings to this user.',
  remedy:
    'See by yourself that maxmemory-policy is noeviction and appendonly is on, or let this user run INFO ' +
    'and CONFIG GET.',
})

const clusterClient: Finding = Object.freeze({
  severity: 'error',
  code: 'redis-cluster-client',
  found: 'The server is a node of a cluster, and the client is for one server: other keys are refused.',
  remedy: 'Give { client } with the Cluster of ioredis, or createCluster of redis.',
})
