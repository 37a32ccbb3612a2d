import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** A TCP proxy in front of a broker, whose connections can be cut without a word. */
export interface Proxy {
  readonly url: string
  /** While it is true, what the broker says on new connections reaches nobody. */
  isSilent: boolean
  cut(): void
  close(): void
}

/** A proxy that ends with the test. */
export async function proxyTo(url: string): Promise<Proxy> {
  const proxy = await openProxy(url)
  onTestFinished(() => proxy.close())
  return proxy
}

/** A proxy that its caller closes: of tests that run side by side nobody could tell which one has it. */
export async function openProxy(url: string): Promise<Proxy> {
  const { hostname, port } = new URL(url)
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const { isSilent } = proxy
    const broker = connect(Number(port), hostname)
    for (const [from, to] of [
      [client, broker],
      [broker, client],
    ] as const) {
      sockets.add(from)
      from.on('error', () => undefined)
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      if (isSilent && from === broker) from.resume()
      else from.pipe(to)
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = (): void => sockets.forEach((socket) => socket.destroy())
  const close = (): void => {
    server.close()
    cut()
  }
  const address = server.address() as { port: number }
  const proxy: Proxy = { url: `amqp://127.0.0.1:${address.port}`, isSilent: false, cut, close }
  return proxy
}
