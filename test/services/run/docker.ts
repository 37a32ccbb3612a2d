import { fileURLToPath } from 'node:url'
import { run, Unavailable } from '../install/command.ts'
import type { Recipe } from './recipe.ts'
import { type Action, hasSettings, type Room, type RunningServer, type Wanted } from './server.ts'

const COMPOSE_FILE = fileURLToPath(new URL('../../../compose.yaml', import.meta.url))
const ENGINE_ANSWERS_WITHIN_MS = 3_000

const COMMANDS: Record<Action, readonly string[]> = {
  start: ['up', '--detach', '--wait'],
  stop: ['stop'],
  kill9: ['kill', '--signal', 'SIGKILL'],
  pause: ['pause'],
  resume: ['unpause'],
}

let engine: Promise<unknown> | undefined

/** Answers if docker compose is here and its engine answers at once. */
async function findDocker(): Promise<void> {
  const timeoutMs = ENGINE_ANSWERS_WITHIN_MS
  engine ??= Promise.all([
    run('docker', ['version'], { timeoutMs }),
    run('docker', ['compose', 'version'], { timeoutMs }),
  ])
  await engine.catch(() => {
    throw new Unavailable('docker compose does not answer')
  })
}

/** Starts the service of that name of `compose.yaml`, in a compose project of its own, on a loopback port. */
export async function startContainer(
  { name, container }: Recipe,
  wanted: Wanted,
  { ports, enter, atEnd }: Room,
): Promise<RunningServer> {
  if (container === undefined) throw new Unavailable('there is no container of it')
  if (hasSettings(wanted)) throw new Unavailable('its container takes no settings')
  await findDocker()
  const port = await ports.take(1)
  const project = ['--file', COMPOSE_FILE, '--project-name', `oncemq-${process.pid}-${port}`]
  const env = { ...process.env, ONCEMQ_PORT: `${port}` }
  const compose = async (args: readonly string[]): Promise<void> =>
    void (await run('docker', ['compose', ...project, ...args], { env }))
  enter('starting')
  atEnd(() => compose(['down', '--volumes', '--timeout', '0']))
  await compose([...COMMANDS.start, name])
  return {
    source: 'docker',
    describe: () => ({ url: container.url(port), nodes: [] }),
    do: (action) => compose([...COMMANDS[action], name]),
  }
}
