import { readdir, readFile, writeFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type DebianRelease, debianTree } from '../install/debian.ts'
import type { Place, Plan, Recipe } from '../run/recipe.ts'

const SERVER = [
  'rabbitmq-server',
  ...[
    'base',
    'asn1',
    'crypto',
    'public-key',
    'ssl',
    'mnesia',
    'os-mon',
    'runtime-tools',
    'syntax-tools',
    'tools',
  ]
    .concat('xmerl', 'inets', 'parsetools', 'eldap')
    .map((part) => `erlang-${part}`),
]
const LIBRARIES = [
  'libc6',
  'libgcc-s1',
  'libstdc++6',
  'libsystemd0',
  'libtinfo6',
  'zlib1g',
  'libzstd1',
  'libcap2',
  'libsctp1',
]
const ERLANG = 'usr/lib/erlang'

/** RabbitMQ without plugins. `args` are lines of rabbitmq.conf. */
function rabbitmq<const Name extends string>(
  name: Name,
  isDefault: boolean,
  release: DebianRelease,
  libraries: readonly string[],
): Recipe<Name> {
  return {
    name,
    isDefault,
    container: { port: 5672, url: amqpUrl },
    async install() {
      const packages = [...SERVER, ...LIBRARIES, ...libraries]
      const wanted = { release, packages, dependencies: false }
      const tree = await debianTree(name, wanted, [ERLANG], relocateErlang)
      return async (place) => plan(tree, place)
    },
  }
}

export const rabbitmqServers = [
  rabbitmq('rabbitmq-4.0', true, 'trixie', ['libssl3t64']),
  rabbitmq('rabbitmq-3.10', false, 'bookworm', [
    'libssl3',
    'liblzma5',
    'liblz4-1',
    'libgcrypt20',
    'libgpg-error0',
  ]),
]

/** Loopback clients are let in as guest without saying so. */
function amqpUrl(port: number): string {
  return `amqp://127.0.0.1:${port}`
}

/** Debian's start scripts name the place for which Erlang was built, and listen to no variable. */
async function relocateErlang(tree: string): Promise<void> {
  const erlang = join(tree, ERLANG)
  const runtime = join(erlang, await onlyEntry(erlang, 'erts-'), 'bin')
  for (const folder of [join(erlang, 'bin'), runtime]) {
    for (const script of ['erl', 'start', 'start_erl']) {
      const file = join(folder, script)
      const text = await readFile(file, 'utf8').catch(() => undefined)
      if (text?.startsWith('#!') === true) await writeFile(file, text.replaceAll(`/${ERLANG}`, erlang))
    }
  }
}

async function plan(tree: string, place: Place): Promise<Plan> {
  const { folder, settings } = place
  const amqp = await place.ports(3)
  const erlang = join(tree, ERLANG)
  const scripts = join(
    tree,
    'usr/lib/rabbitmq/lib',
    await onlyEntry(join(tree, 'usr/lib/rabbitmq/lib'), 'rabbitmq_'),
    'sbin',
  )
  const epmd = join(erlang, await onlyEntry(erlang, 'erts-'), 'bin/epmd')
  const ports = { amqp, distribution: amqp + 1, epmd: amqp + 2 }
  return {
    url: amqpUrl(amqp),
    async prepare() {
      await mkdir(join(folder, 'home'))
      await writeFile(join(folder, 'home/.erlang.cookie'), crypto.randomUUID(), { mode: 0o400 })
      await writeFile(join(folder, 'enabled_plugins'), '[].')
      await writeFile(join(folder, 'rabbitmq.conf'), configuration(amqp, settings.args))
    },
    programs: [
      {
        // Erlang's name server. One that the broker starts by itself would outlive it.
        name: 'epmd',
        command: epmd,
        args: ['-port', `${ports.epmd}`, '-address', '127.0.0.1'],
        port: ports.epmd,
        stopSignal: 'SIGTERM',
        auxiliary: true,
      },
      {
        name: 'rabbitmq',
        command: join(scripts, 'rabbitmq-server'),
        args: [],
        cwd: join(folder, 'home'),
        env: {
          ...environment(folder, ports),
          PATH: `${erlang}/bin:${scripts}:/usr/bin:/bin:/usr/sbin:/sbin`,
          ...settings.env,
        },
        port: amqp,
        readyLine: /Server startup complete/,
        stopSignal: 'SIGTERM',
      },
    ],
  }
}

function configuration(port: number, lines: readonly string[]): string {
  return [
    `listeners.tcp.1 = 127.0.0.1:${port}`,
    'log.file = false',
    'log.console = true',
    'log.console.level = info',
    'disk_free_limit.absolute = 50MB',
    'vm_memory_high_watermark.absolute = 1GB',
    ...lines,
    '',
  ].join('\n')
}

function environment(
  folder: string,
  ports: { amqp: number; distribution: number; epmd: number },
): Record<string, string> {
  return {
    HOME: join(folder, 'home'),
    ERL_EPMD_PORT: `${ports.epmd}`,
    ERL_EPMD_ADDRESS: '127.0.0.1',
    // The start script then becomes the server, so that its pid is the server's.
    RUNNING_UNDER_SYSTEMD: 'true',
    RABBITMQ_NODENAME: `r${ports.amqp}@localhost`,
    RABBITMQ_DIST_PORT: `${ports.distribution}`,
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
    RABBITMQ_CONFIG_FILES: '/nonexistent',
    RABBITMQ_ADVANCED_CONFIG_FILE: '/nonexistent',
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
    RABBITMQ_MNESIA_BASE: join(folder, 'db'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_GENERATED_CONFIG_DIR: join(folder, 'generated'),
    RABBITMQ_PID_FILE: join(folder, 'rabbitmq.pid'),
    // No busy waiting: an idle broker would otherwise take the processor from the tests.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
      '-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none',
  }
}

async function onlyEntry(folder: string, prefix: string): Promise<string> {
  const names = (await readdir(folder)).filter((name) => name.startsWith(prefix))
  if (names[0] === undefined || names.length > 1)
    throw new Error(`${folder}: expected one ${prefix}*, found ${names.length}`)
  return names[0]
}
