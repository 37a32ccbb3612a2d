import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { run, Unavailable } from '../install/command.ts'
import { type DebianRelease, debianTree } from '../install/debian.ts'
import { waitFor } from '../run/processes.ts'
import type { Place, Program, Recipe } from '../run/recipe.ts'

const CLUSTER_NODES = 3
const CLUSTER_READY_MAX_MS = 30_000

/** Redis or Valkey, with an append-only file. `args` are its own arguments, as `--maxmemory-policy`. */
function redis<const Name extends string>(
  name: Name,
  isDefault: boolean,
  release: DebianRelease,
  flavor: 'redis' | 'valkey',
): Recipe<Name> {
  return {
    name,
    isDefault,
    container: { port: 6379, url: redisUrl },
    async install() {
      const tree = await install(name, release, flavor)
      return async (place) => {
        const port = await place.ports(1)
        return {
          url: redisUrl(port),
          programs: [node(join(tree, `usr/bin/${flavor}-server`), flavor, port, place)],
        }
      }
    },
  }
}

/** Three masters without replicas. */
const redisCluster: Recipe<'redis-cluster'> = {
  name: 'redis-cluster',
  isDefault: false,
  async install() {
    const tree = await install('redis-8', 'trixie', 'redis')
    return async (place) => {
      const first = await place.ports(2 * CLUSTER_NODES)
      const ports = Array.from({ length: CLUSTER_NODES }, (_, index) => first + index)
      const program = join(tree, 'usr/bin/redis-server')
      const folders = ports.map((_, index) => join(place.folder, `node-${index + 1}`))
      return {
        url: redisUrl(first),
        prepare: async () => void (await Promise.all(folders.map((folder) => mkdir(folder)))),
        programs: ports.map((port, index) => {
          const args = [...clusterArgs(port + CLUSTER_NODES), ...place.settings.args]
          const own = { ...place, folder: folders[index] ?? '', settings: { ...place.settings, args } }
          return node(program, `node-${index + 1}`, port, own)
        }),
        join: async () => joinCluster(join(tree, 'usr/bin/redis-cli'), ports),
      }
    }
  },
}

export const redisServers = [
  redis('redis-8', true, 'trixie', 'redis'),
  redis('redis-7', false, 'bookworm', 'redis'),
  redis('valkey-8', true, 'trixie', 'valkey'),
  redisCluster,
] as const

function redisUrl(port: number): string {
  return `redis://127.0.0.1:${port}`
}

async function install(name: string, release: DebianRelease, flavor: 'redis' | 'valkey'): Promise<string> {
  const wanted = { release, packages: [`${flavor}-server`], dependencies: true }
  // The server is a link to the program that checks its files.
  return debianTree(name, wanted, [`usr/bin/${flavor}-check-rdb`, `usr/bin/${flavor}-cli`])
}

function node(command: string, name: string, port: number, { folder, settings }: Place): Program {
  const durable = ['--appendonly', 'yes', '--appendfsync', 'everysec', '--save', '']
  const place = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder]
  return {
    name,
    command,
    args: [...place, ...durable, '--daemonize', 'no', ...settings.args],
    env: settings.env,
    port,
    readyLine: /Ready to accept connections/,
    stopSignal: 'SIGTERM',
  }
}

/** The usual bus port, 10000 above, may not exist. */
function clusterArgs(busPort: number): string[] {
  const files = ['--cluster-config-file', 'nodes.conf', '--cluster-node-timeout', '2000']
  return ['--cluster-enabled', 'yes', '--cluster-port', `${busPort}`, ...files]
}

async function joinCluster(cli: string, ports: readonly number[]): Promise<void> {
  const [first = 0] = ports
  const known = (await clusterInfo(cli, first)).includes('cluster_slots_assigned:16384')
  const addresses = ports.map((port) => `127.0.0.1:${port}`)
  if (!known) await run(cli, ['--cluster', 'create', ...addresses, '--cluster-yes'])
  // It answers before all nodes agree.
  for (const port of ports) {
    if (!(await waitFor(async () => isJoined(await clusterInfo(cli, port)), CLUSTER_READY_MAX_MS))) {
      throw new Unavailable(`the cluster is not ready after ${CLUSTER_READY_MAX_MS} ms`)
    }
  }
}

async function clusterInfo(cli: string, port: number): Promise<string> {
  return run(cli, ['-h', '127.0.0.1', '-p', `${port}`, 'cluster', 'info'])
}

function isJoined(info: string): boolean {
  return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${CLUSTER_NODES}`)
}
