import { join } from 'node:path'
import { Unavailable } from '../install/command.ts'
import { servers } from '../servers/catalogue.ts'
import type { Ports } from './ports.ts'
import type { Acquired, Calls, Listed } from './protocol.ts'
import type { Recipe } from './recipe.ts'
import type { Description, RunningServer, State, Wanted } from './server.ts'
import { startServer } from './start-server.ts'

interface Held {
  readonly id: number
  readonly name: string
  readonly own: boolean
  state: State
  reason?: string
  server?: RunningServer
  opened: Promise<RunningServer>
  /** Ends even what is still on its way to be a server. */
  close?: () => Promise<void>
}

/** Owns every server of a test run: starts each at its first need, shares it, and ends them all. */
export class Supervisor {
  readonly #folder: string
  readonly #ports: Ports
  readonly #held = new Map<number, Held>()
  readonly #shared = new Map<string, Held>()
  #lastId = 0

  constructor(folder: string, ports: Ports) {
    this.#folder = folder
    this.#ports = ports
  }

  async acquire({ name, own, settings }: Calls['acquire']['params']): Promise<Acquired> {
    const key = JSON.stringify([name, settings])
    const held = (own ? undefined : this.#shared.get(key)) ?? this.#open(findRecipe(name), { own, settings })
    if (!own) this.#shared.set(key, held)
    const server = await held.opened
    return { id: held.id, source: server.source, ...server.describe() }
  }

  async do({ id, action, node }: Calls['do']['params']): Promise<Description> {
    const held = this.#held.get(id)
    if (held === undefined) throw new Error('this server was closed')
    // Others use a shared server: none of them may take it away.
    if (!held.own) throw new Error(`cannot ${action} a shared server; ask for one with { own: true }`)
    const server = await held.opened
    await server.do(action, node)
    return server.describe()
  }

  async release({ id }: Calls['release']['params']): Promise<null> {
    const held = this.#held.get(id)
    if (held?.own === true) await this.#close(held)
    return null
  }

  async closeShared({ name }: Calls['close']['params']): Promise<null> {
    for (const [key, held] of this.#shared) {
      if (held.name !== name) continue
      this.#shared.delete(key)
      await this.#close(held)
    }
    return null
  }

  list(): Listed[] {
    return [...this.#held.values()].map(({ name, own, state, reason, server }) => {
      if (reason !== undefined) return { name, own, state, reason }
      if (server === undefined) return { name, own, state }
      const { url, nodes } = server.describe()
      const pids = nodes.flatMap(({ pid }) => pid ?? [])
      return { name, own, state, source: server.source, url, pids }
    })
  }

  async close(): Promise<void> {
    const closers = [...this.#held.values()].flatMap(({ close }) => close ?? [])
    await Promise.allSettled(closers.map((close) => close()))
    this.#ports.close()
  }

  async #close(held: Held): Promise<void> {
    this.#held.delete(held.id)
    await held.opened.catch(() => {})
    await held.close?.()
  }

  #open(recipe: Recipe, wanted: Wanted): Held {
    const id = ++this.#lastId
    const folder = join(this.#folder, `${recipe.name}-${id}`)
    const opened = startServer(recipe, wanted, {
      folder,
      ports: this.#ports,
      enter: (state) => void Object.assign(held, { state }),
      atEnd: (close) => void Object.assign(held, { close }),
    })
    const held: Held = { id, name: recipe.name, own: wanted.own, state: 'installing', opened }
    this.#held.set(id, held)
    held.opened.then(
      (server) => Object.assign(held, { server, state: 'ready' }),
      (error: Error) => Object.assign(held, { reason: error.message, state: 'unavailable' }),
    )
    return held
  }
}

function findRecipe(name: string): Recipe {
  const recipe = servers.find((server) => server.name === name)
  if (recipe !== undefined) return recipe
  throw new Unavailable(
    `no server is called ${name}; there are ${servers.map((server) => server.name).join(', ')}`,
  )
}
