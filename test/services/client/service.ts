import type { Acquired } from '../run/protocol.ts'
import type { Settings } from '../run/recipe.ts'
import type { Action, Description, NodeDescription, Source } from '../run/server.ts'
import type { ServerName } from '../servers/catalogue.ts'
import { type Connection, openConnection, SOCKET_VARIABLE, startSupervisor } from './connection.ts'

export interface ServiceOptions extends Partial<Settings> {
  /** A server of one's own, which may be killed. Without it, one is shared by all that ask for the same. */
  readonly own?: boolean
}

let connection: Promise<Connection> | undefined

/**
 * Answers a running server: one named by the environment, else one of docker compose, else one whose programs
 * come from the package registries.
 *
 * @throws Unavailable when none can be had here; its message says why.
 * @example
 * const server = await service('rabbitmq-4.0', { own: true })
 * const channel = await (await connect(server.url)).createChannel()
 * await server.kill9()
 */
export async function service(name: ServerName, options: ServiceOptions = {}): Promise<Server> {
  connection ??= connectToSupervisor()
  const { own = false, args = [], env = {}, diskMb } = options
  const acquired = await (await connection).call('acquire', { name, own, settings: { args, env, diskMb } })
  return new Server(name, await connection, acquired)
}

/** The one of the whole run; one of this process alone where there is none, or none any more. */
async function connectToSupervisor(): Promise<Connection> {
  const socketPath = process.env[SOCKET_VARIABLE]
  if (socketPath === undefined) return openConnection(await startSupervisor())
  try {
    return await openConnection(socketPath)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    process.stderr.write(
      `the process that owns the servers of this run is gone (${code}): starting another\n`,
    )
    return openConnection(await startSupervisor())
  }
}

/** A running server. All but its URL is for servers of one's own. */
export class Server {
  readonly name: ServerName
  readonly source: Source
  readonly #connection: Connection
  readonly #id: number
  #description: Description

  constructor(name: ServerName, connection: Connection, acquired: Acquired) {
    this.name = name
    this.source = acquired.source
    this.#connection = connection
    this.#id = acquired.id
    this.#description = acquired
  }

  /** The same after a restart. It carries no password unless the environment gave one. */
  get url(): string {
    return this.#description.url
  }

  /** Its processes; empty for a server that was not started from binaries. */
  get nodes(): readonly NodeDescription[] {
    return this.#description.nodes
  }

  /** Of the first node; undefined while it does not run. */
  get pid(): number | undefined {
    return this.nodes[0]?.pid
  }

  /** Ends it without warning, as `kill -9`; all nodes, or the named one. Answers when the process is gone. */
  async kill9(node?: string): Promise<void> {
    await this.#do('kill9', node)
  }

  /** Ends it in good order. Its data stays. */
  async stop(node?: string): Promise<void> {
    await this.#do('stop', node)
  }

  /** Starts what does not run, on the same port and data. Answers when it serves. */
  async start(node?: string): Promise<void> {
    await this.#do('start', node)
  }

  /** Freezes it: connections stay open and nothing answers. */
  async pause(node?: string): Promise<void> {
    await this.#do('pause', node)
  }

  async resume(node?: string): Promise<void> {
    await this.#do('resume', node)
  }

  /** Ends a server of one's own and removes its data; does nothing to a shared one. */
  async close(): Promise<void> {
    await this.#connection.call('release', { id: this.#id })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #do(action: Action, node: string | undefined): Promise<void> {
    this.#description = await this.#connection.call('do', { id: this.#id, action, node })
  }
}
