import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'
import type { Action, Description, Source, State } from './server.ts'
import type { Settings } from './recipe.ts'

/** What the processes of a test run ask of the supervisor: one JSON value a line, over a Unix socket. */
export interface Calls {
  acquire: { params: { name: string; own: boolean; settings: Settings }; result: Acquired }
  do: { params: { id: number; action: Action; node?: string | undefined }; result: Description }
  release: { params: { id: number }; result: null }
  /** Ends a shared server. */
  close: { params: { name: string }; result: null }
  list: { params: Record<never, never>; result: Listed[] }
  end: { params: Record<never, never>; result: null }
}

export type Method = keyof Calls

export interface Acquired extends Description {
  readonly id: number
  readonly source: Source
}

export interface Listed {
  readonly name: string
  readonly state: State
  readonly own: boolean
  readonly source?: Source
  readonly url?: string
  readonly pids?: readonly number[]
  readonly reason?: string
}

export interface Request<M extends Method = Method> {
  readonly id: number
  readonly method: M
  readonly params: Calls[M]['params']
}

export type Response =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: { readonly message: string; readonly unavailable: boolean } }

export function send(socket: Socket, message: Request | Response): void {
  socket.write(`${JSON.stringify(message)}\n`)
}

export function receive<T extends Request | Response>(socket: Socket, handle: (message: T) => void): void {
  const lines = createInterface({ input: socket })
  lines.on('line', (line) => handle(JSON.parse(line) as T))
  // The socket's own error, told once more; unheard it would end the process.
  lines.on('error', () => {})
}
