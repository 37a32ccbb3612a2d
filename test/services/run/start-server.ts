import { mkdir } from 'node:fs/promises'
import { Unavailable } from '../install/command.ts'
import { removeFolder } from './data-folder.ts'
import { mountDisk } from './disk.ts'
import { startContainer } from './docker.ts'
import { urlFromEnvironment, variables } from './environment.ts'
import { Instance } from './instance.ts'
import type { Recipe } from './recipe.ts'
import { hasSettings, type Room, type RunningServer, type Wanted } from './server.ts'

/**
 * Finds or starts a server: by the environment, else by docker compose, else from the package registries.
 *
 * @throws Unavailable when all of these fail, with what each one said.
 */
export async function startServer(recipe: Recipe, wanted: Wanted, room: Room): Promise<RunningServer> {
  const url = wanted.own || hasSettings(wanted) ? undefined : await urlFromEnvironment(recipe)
  if (url !== undefined) return foreignServer(url)
  const reasons: string[] = []
  for (const start of [startContainer, startBinaries]) {
    try {
      return await start(recipe, wanted, room)
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error
      reasons.push(error.message)
    }
  }
  throw new Unavailable(`${reasons.join('; ')}. What helps: a server of yours in ${variables(recipe)[0]}`)
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
    throw new Unavailable('its programs are for Linux on x86-64')
  }
  const makePlan = await install(recipe)
  enter('starting')
  await mkdir(folder, { mode: 0o711 })
  atEnd(() => removeFolder(folder))
  if (settings.diskMb !== undefined) await mountDisk(folder, settings.diskMb)
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

const installed = new Map<Recipe, ReturnType<Recipe['install']>>()

/** Once in a process: what failed would fail again, after as long a time. */
function install(recipe: Recipe): ReturnType<Recipe['install']> {
  const found = installed.get(recipe) ?? recipe.install()
  installed.set(recipe, found)
  return found
}
