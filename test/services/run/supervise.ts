// The process that owns the servers. It ends with its parent, which holds the other end of its stdin, however
// that ends, or on a signal, or when a client says so (`--stay`: only then).
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Unavailable } from '../install/command.ts'
import { makeDataFolder, removeFolder, SOCKET } from './data-folder.ts'
import { Ports } from './ports.ts'
import { type Calls, type Method, receive, type Request, send } from './protocol.ts'
import { Supervisor } from './supervisor.ts'

const { values: options } = parseArgs({ options: { stay: { type: 'boolean', default: false } } })
const folder = await makeDataFolder(options.stay ? 'staying' : 'bound')
const supervisor = new Supervisor(folder, new Ports())
const socketPath = join(folder, SOCKET)

const listener = createServer((socket) => {
  const owned = new Set<number>()
  socket.on('error', () => socket.destroy())
  // A test process that is gone needs its own servers no more.
  socket.on('close', () => {
    for (const id of owned) supervisor.release({ id }).catch(console.error)
  })
  receive<Request>(socket, (request) => void answer(socket, request, owned))
})
listener.listen(socketPath, () => console.log(socketPath))

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void end())
if (!options.stay) process.stdin.on('end', () => void end()).resume()

let ending: Promise<void> | undefined

function end(): Promise<void> {
  ending ??= (async () => {
    await supervisor.close()
    await removeFolder(folder)
    process.exit()
  })()
  return ending
}

async function answer(socket: Socket, { id, method, params }: Request, owned: Set<number>): Promise<void> {
  try {
    const result = await handlers[method](params as never)
    if (method === 'acquire') {
      const acquired = result as Calls['acquire']['result']
      const { own } = params as Calls['acquire']['params']
      // The client may have gone while its server started.
      if (own && socket.destroyed) await supervisor.release(acquired)
      else if (own) owned.add(acquired.id)
    }
    send(socket, { id, result })
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    send(socket, { id, error: { message, unavailable: error instanceof Unavailable } })
  }
}

const handlers: {
  [M in Method]: (params: Calls[M]['params']) => Calls[M]['result'] | Promise<Calls[M]['result']>
} = {
  acquire: (params) => supervisor.acquire(params),
  do: (params) => supervisor.do(params),
  release: (params) => supervisor.release(params),
  close: (params) => supervisor.closeShared(params),
  list: () => supervisor.list(),
  end() {
    setImmediate(() => void end())
    return null
  },
}
