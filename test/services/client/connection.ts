import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Unavailable } from '../install/command.ts'
import { type Calls, type Method, receive, type Response, send } from '../run/protocol.ts'

/**
 * Names the socket of the supervisor that this process shares with others; it is set for the tests of one
 * run.
 */
export const SOCKET_VARIABLE = 'ONCEMQ_SERVICES_SOCKET'

const SUPERVISE = fileURLToPath(new URL('../run/supervise.ts', import.meta.url))

interface Waiting {
  readonly resolve: (result: unknown) => void
  readonly reject: (error: Error) => void
}

/** A process's line to the supervisor. It does not keep the process alive while nothing is asked. */
export class Connection {
  readonly #socket: Socket
  readonly #waiting = new Map<number, Waiting>()
  #lastId = 0

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      for (const { reject } of this.#waiting.values())
        reject(new Error('the process that owns the servers is gone'))
    })
    receive<Response>(socket, (response) => this.#settle(response))
    socket.unref()
  }

  async call<M extends Method>(method: M, params: Calls[M]['params']): Promise<Calls[M]['result']> {
    if (this.#socket.destroyed) throw new Error('the process that owns the servers is gone')
    const id = ++this.#lastId
    this.#socket.ref()
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: (result) => resolve(result as Calls[M]['result']), reject })
      send(this.#socket, { id, method, params })
    })
  }

  /** Ends the servers that were only for this process. */
  close(): void {
    this.#socket.end()
  }

  /** Ends the supervisor and all its servers; answers when they and their data are gone. */
  async endSupervisor(): Promise<void> {
    const closed = new Promise((resolve) => this.#socket.once('close', resolve))
    await this.call('end', {})
    this.#socket.ref()
    await closed
  }

  #settle(response: Response): void {
    const waiting = this.#waiting.get(response.id)
    this.#waiting.delete(response.id)
    if (this.#waiting.size === 0) this.#socket.unref()
    if ('result' in response) waiting?.resolve(response.result)
    else waiting?.reject(failure(response.error))
  }
}

function failure({ message, unavailable }: { message: string; unavailable: boolean }): Error {
  return unavailable ? new Unavailable(message) : new Error(message)
}

export async function openConnection(socketPath: string): Promise<Connection> {
  const socket = connect(socketPath)
  await once(socket, 'connect')
  return new Connection(socket)
}

/**
 * Starts a supervisor and answers the path of its socket. It ends with this process, unless it stays: then it
 * ends when it is told to. `onEnd` is told how it ended, if it did.
 */
export async function startSupervisor({
  stays = false,
  onEnd = (_how: string): void => {},
} = {}): Promise<string> {
  // One that stays has a session of its own, so that it outlives the terminal. Any other belongs to this
  // process's group, so that whoever ends the group leaves nothing behind.
  const child = stays
    ? spawn(process.execPath, [SUPERVISE, '--stay'], { stdio: ['ignore', 'pipe', 'ignore'], detached: true })
    : spawn(process.execPath, [SUPERVISE], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.unref()
  const lines = createInterface({ input: child.stdout })
  const failed = once(child, 'exit').then(() => {
    const how = child.signalCode ?? `exit code ${child.exitCode}`
    onEnd(how)
    throw new Error(`the process that owns the servers did not start (${how})`)
  })
  const [socketPath] = (await Promise.race([once(lines, 'line'), failed])) as [string]
  lines.close()
  child.stdout.destroy()
  return socketPath
}
