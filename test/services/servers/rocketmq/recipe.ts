import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cached } from '../../install/cache.ts'
import { Unavailable } from '../../install/command.ts'
import { findJava } from '../../install/java.ts'
import { copyJars } from '../../install/maven.ts'
import { waitFor } from '../../run/processes.ts'
import type { Place, Plan, Program, Recipe } from '../../run/recipe.ts'
import { askRocketmq, SUCCESS } from './remoting.ts'

const VERSION = '5.5.0'
const JARS = ['rocketmq-namesrv', 'rocketmq-proxy', 'rocketmq-tools'].map((artifactId) => ({
  groupId: 'org.apache.rocketmq',
  artifactId,
  version: VERSION,
}))
const GET_ROUTE = 105
const SYSTEM_TOPIC = 'DefaultCluster'
const ROUTES_MAX_MS = 60_000

const JAVA_OPTIONS = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto']

/** How the broker and its proxy differ from what they are by default. */
interface Profile {
  readonly broker: readonly string[]
  readonly proxy: Readonly<Record<string, number>>
}

const AS_DELIVERED: Profile = { broker: [], proxy: {} }

/**
 * Retries after 0.3 to 0.5 s instead of 2, dead consumers noticed after 15 s instead of 120, quick
 * shutdown.
 */
const FAST: Profile = {
  broker: ['popConsumerKVServiceInit=true', 'popConsumerKVServiceEnable=true', 'channelExpiredTimeout=15000'],
  proxy: {
    grpcClientConsumerMinLongPollingTimeoutMillis: 500,
    grpcClientConsumerMaxLongPollingTimeoutMillis: 2_000,
  },
}

/**
 * RocketMQ: a name server, and a broker with its gRPC proxy in one process. `args` are lines of
 * broker.conf. The URL's host is the proxy's; `broker` in its query is where topics and groups are made.
 */
function rocketmq<const Name extends string>(name: Name, isDefault: boolean, profile: Profile): Recipe<Name> {
  return {
    name,
    isDefault,
    async install() {
      const [java, jars] = await Promise.all([
        findJava(),
        cached('rocketmq-5.5', JARS, (folder) => copyJars(JARS, folder)),
      ])
      return async (place) => plan({ java, jars }, profile, place)
    },
  }
}

export const rocketmqServers = [
  rocketmq('rocketmq', true, AS_DELIVERED),
  rocketmq('rocketmq-fast', false, FAST),
] as const

interface Ports {
  readonly nameServer: number
  /** The broker also takes the port two below, and the next one for replication. */
  readonly broker: number
  readonly grpc: number
  readonly remoting: number
}

type ProgramBase = Omit<Program, 'name' | 'port'>

interface Java {
  readonly java: string
  readonly jars: string
}

async function plan(java: Java, profile: Profile, place: Place): Promise<Plan> {
  const { folder, settings } = place
  const first = await place.ports(6)
  const ports = { nameServer: first + 1, broker: first + 2, grpc: first + 4, remoting: first + 5 }
  const file = (name: string): string => join(folder, name)
  return {
    url: `rocketmq://127.0.0.1:${ports.grpc}/?broker=127.0.0.1:${ports.broker}`,
    async prepare() {
      await mkdir(file('home'))
      await writeFile(file('name-server.conf'), nameServerConfiguration(ports))
      await writeFile(
        file('broker.conf'),
        brokerConfiguration(ports, file('store'), [...profile.broker, ...settings.args]),
      )
      await writeFile(file('proxy.json'), JSON.stringify(proxyConfiguration(ports, profile)))
    },
    programs: [nameServer(java, ports.nameServer, place), broker(java, ports, place)],
    join: async () => waitForRoutes(ports.nameServer),
  }
}

function nameServer(java: Java, port: number, place: Place): Program {
  const memory = ['-Xmx256m', '-XX:MaxDirectMemorySize=128m']
  const args = [
    ...memory,
    'org.apache.rocketmq.namesrv.NamesrvStartup',
    '-c',
    join(place.folder, 'name-server.conf'),
  ]
  return {
    ...program(java, place, args),
    name: 'name-server',
    port,
    readyLine: /boot success/,
    auxiliary: true,
  }
}

function broker(java: Java, { grpc, nameServer }: Ports, place: Place): Program {
  const memory = ['-Xmx768m', '-XX:MaxDirectMemorySize=512m']
  const main = ['org.apache.rocketmq.proxy.ProxyStartup', '-pm', 'local', '-n', `127.0.0.1:${nameServer}`]
  const files = ['-bc', join(place.folder, 'broker.conf'), '-pc', join(place.folder, 'proxy.json')]
  const readyLine = /rocketmq-proxy startup successfully/
  return { ...program(java, place, [...memory, ...main, ...files]), name: 'broker', port: grpc, readyLine }
}

function program({ java, jars }: Java, { folder, settings }: Place, args: readonly string[]): ProgramBase {
  const home = join(folder, 'home')
  return {
    command: java,
    args: [...JAVA_OPTIONS, '-Xms64m', `-Duser.home=${home}`, '-cp', `${jars}/*`, ...args],
    cwd: home,
    env: { ROCKETMQ_HOME: home, ...settings.env },
    stopSignal: 'SIGTERM',
  }
}

/** The proxy says that it is ready before the name server knows the broker's topics. */
async function waitForRoutes(port: number): Promise<void> {
  const command = { code: GET_ROUTE, extFields: { topic: SYSTEM_TOPIC } }
  const isKnown = async (): Promise<boolean> => {
    const [answer] = await askRocketmq(`127.0.0.1:${port}`, [command])
    return answer?.code === SUCCESS
  }
  if (!(await waitFor(isKnown, ROUTES_MAX_MS)))
    throw new Unavailable('the broker did not register its topics')
}

function nameServerConfiguration({ nameServer }: Ports): string {
  return `listenPort=${nameServer}\nbindAddress=127.0.0.1\n`
}

function brokerConfiguration({ broker }: Ports, store: string, lines: readonly string[]): string {
  return [
    'brokerClusterName=DefaultCluster',
    'brokerName=broker',
    'brokerId=0',
    'brokerRole=ASYNC_MASTER',
    'flushDiskType=ASYNC_FLUSH',
    'brokerIP1=127.0.0.1',
    'bindAddress=127.0.0.1',
    `listenPort=${broker}`,
    `haListenPort=${broker + 1}`,
    `storePathRootDir=${store}`,
    `storePathCommitLog=${join(store, 'commitlog')}`,
    'mappedFileSizeCommitLog=67108864',
    'diskMaxUsedSpaceRatio=95',
    // Each flush of the timer wheel writes all of it; each second, that alone takes an eighth of a processor.
    'timerFlushIntervalMs=10000',
    ...lines,
    '',
  ].join('\n')
}

function proxyConfiguration({ grpc, remoting }: Ports, { proxy }: Profile): Record<string, unknown> {
  return {
    rocketMQClusterName: 'DefaultCluster',
    grpcServerPort: grpc,
    remotingListenPort: remoting,
    ...proxy,
  }
}
