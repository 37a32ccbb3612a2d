import { fileURLToPath } from 'node:url'
import { run } from '../install/command.ts'
import type { Action } from './server.ts'
import type { Recipe } from './recipe.ts'
import type { Room, RunningServer } from './server.ts'

const COMPOSE_FILE = fileURLToPath(new URL('../../../compose.yaml', import.meta.url))
const ENGINE_ANSWERS_WITHIN_MS = 3_000

const COMMANDS: Record<Action, readonly string[]> = {
  start: ['up', '--detach', '--wait'],
  stop: ['stop'],
  kill9: ['kill', '--signal', 'SIGKILL'],
  pause: ['pause'],
  resume: ['unpause'],
}

let engine: Promise<boolean> | undefined

/** Whether docker compose is here and its engine answers at once. */
export function hasDocker(): Promise<boolean> {
  engine ??= Promise.all([
    run('docker', ['version'], { timeoutMs: ENGINE_ANSWERS_WITHIN_MS }),
    run('docker', ['compose', 'version'], { timeoutMs: ENGINE_ANSWERS_WITHIN_MS }),
  ]).then(
    () => true,
    () => false,
  )
  return engine
}

/**
 * Starts the service of that name of `compose.yaml`, in a compose project of its own, on this loopback
 * port.
 */
export async function startContainer(
  { name, container }: Recipe & { container: NonNullable<Recipe['container']> },
  { ports, enter, atEnd }: Room,
): Promise<RunningServer> {
  const port = await ports.take(1)
  const project = `oncemq-${process.pid}-${port}`
  const env = { ...process.env, ONCEMQ_PORT: `${port}` }
  const compose = async (...args: string[]): Promise<string> =>
    run('docker', ['compose', '--file', COMPOSE_FILE, '--project-name', project, ...args], { env })
  enter('starting')
  atEnd(async () => void (await compose('down', '--volumes', '--timeout', '0')))
  await compose(...COMMANDS.start, name)
  return {
    source: 'docker',
    describe: () => ({ url: container.url(port), nodes: [] }),
    async do(action) {
      await compose(...COMMANDS[action], name)
    },
  }
}
