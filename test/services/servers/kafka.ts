import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cached } from '../install/cache.ts'
import { run } from '../install/command.ts'
import { findJava } from '../install/java.ts'
import { type Artifact, copyJars } from '../install/maven.ts'
import type { Place, Plan, Recipe } from '../run/recipe.ts'

// Without a binding for its log the server writes no line, and so none that says that it is ready.
const LOG_BINDING: Artifact = {
  groupId: 'org.apache.logging.log4j',
  artifactId: 'log4j-slf4j-impl',
  version: '2.25.5',
}

const JAVA_OPTIONS = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto']

/** Kafka without ZooKeeper, one node. `args` are lines of server.properties. */
function kafka<const Name extends string>(name: Name, isDefault: boolean, version: string): Recipe<Name> {
  const jarsOf = [{ groupId: 'org.apache.kafka', artifactId: 'kafka_2.13', version }, LOG_BINDING]
  return {
    name,
    isDefault,
    async install() {
      const [java, jars] = await Promise.all([
        findJava(),
        cached(name, jarsOf, (folder) => copyJars(jarsOf, folder)),
      ])
      return async (place) => plan(java, jars, version, place)
    },
  }
}

export const kafkaServers = [kafka('kafka-4.4', true, '4.4.0'), kafka('kafka-3.9', false, '3.9.2')] as const

async function plan(java: string, jars: string, version: string, place: Place): Promise<Plan> {
  const port = await place.ports(2)
  const configuration = join(place.folder, 'server.properties')
  const log4j = join(place.folder, 'log4j2.properties')
  const memoryAndLog = ['-Xms64m', '-Xmx256m', `-Dlog4j2.configurationFile=${log4j}`]
  const classes = ['-cp', `${jars}/*`]
  return {
    url: `kafka://127.0.0.1:${port}`,
    async prepare() {
      const lines = [...properties(port, join(place.folder, 'data'), version), ...place.settings.args]
      await writeFile(configuration, `${lines.join('\n')}\n`)
      await writeFile(log4j, LOG_TO_STANDARD_OUTPUT)
      const format = [
        'kafka.tools.StorageTool',
        'format',
        '--standalone',
        '-t',
        clusterId(),
        '-c',
        configuration,
      ]
      await run(java, [...JAVA_OPTIONS, '-Xmx128m', ...classes, ...format])
    },
    programs: [
      {
        name: 'broker',
        command: java,
        args: [...JAVA_OPTIONS, ...memoryAndLog, ...classes, 'kafka.Kafka', configuration],
        cwd: place.folder,
        env: place.settings.env,
        port,
        readyLine: /Kafka Server started/,
        stopSignal: 'SIGTERM',
      },
    ],
  }
}

const LOG_TO_STANDARD_OUTPUT = `rootLogger.level = info
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %m (%c)%n
`

/** Sixteen bytes that do not look like an option. */
function clusterId(): string {
  return randomBytes(16).toString('base64url').replace(/^-/, 'A')
}

function properties(port: number, data: string, version: string): readonly string[] {
  const broker = `127.0.0.1:${port}`
  const controller = `127.0.0.1:${port + 1}`
  return [
    'process.roles=broker,controller',
    'node.id=1',
    `controller.quorum.bootstrap.servers=${controller}`,
    `listeners=PLAINTEXT://${broker},CONTROLLER://${controller}`,
    `advertised.listeners=PLAINTEXT://${broker},CONTROLLER://${controller}`,
    'controller.listener.names=CONTROLLER',
    'listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    `log.dirs=${data}`,
    'auto.create.topics.enable=false',
    ...ofOneNode('offsets.topic'),
    ...ofOneNode('transaction.state.log'),
    // Since 4.0.
    ...(version.startsWith('3.') ? [] : ofOneNode('share.coordinator.state.topic')),
    'group.initial.rebalance.delay.ms=0',
    'group.min.session.timeout.ms=1000',
    'log.cleaner.dedupe.buffer.size=4194304',
    'log.index.size.max.bytes=1048576',
    'num.network.threads=2',
    'num.io.threads=2',
    'broker.heartbeat.interval.ms=500',
    // The least that a loaded machine keeps: a broker that misses it fences itself. A killed one that is
    // started again waits for it.
    'broker.session.timeout.ms=6000',
  ]
}

/** An internal topic that is on one node alone. */
function ofOneNode(topic: string): readonly string[] {
  const inSync = topic.startsWith('offsets') ? [] : [`${topic}.min.isr=1`]
  return [`${topic}.replication.factor=1`, `${topic}.num.partitions=1`, ...inSync]
}
