import { createServer, type Server } from 'node:net'

// Below the range from which the kernel takes the ports of outgoing connections, so that a server that was
// killed finds its port free when it comes back.
const FIRST_PORT = 20_000
const LAST_PORT = 31_999
const BLOCK_SIZE = 100
const BLOCKS = Math.floor((LAST_PORT + 1 - FIRST_PORT) / BLOCK_SIZE)

/**
 * Loopback ports for the servers of one process. They come in blocks; listening on a block's first port keeps
 * other processes off the whole block, and ends with this process however that ends.
 */
export class Ports {
  readonly #tokens: Server[] = []
  #next = 0
  #end = 0

  /** Answers the first of `count` adjacent ports on which nothing listens. */
  async take(count: number): Promise<number> {
    for (;;) {
      if (this.#next + count > this.#end) await this.#takeBlock()
      const first = this.#next
      this.#next += count
      const ports = Array.from({ length: count }, (_, index) => first + index)
      if ((await Promise.all(ports.map(isFree))).every(Boolean)) return first
    }
  }

  close(): void {
    for (const token of this.#tokens) token.close()
  }

  async #takeBlock(): Promise<void> {
    // Starting at a place that differs between processes spares most collisions.
    for (let index = 0; index < BLOCKS; index++) {
      const base = FIRST_PORT + ((process.pid + index) % BLOCKS) * BLOCK_SIZE
      const token = await listen(base)
      if (token === undefined) continue
      token.unref()
      this.#tokens.push(token)
      this.#next = base + 1
      this.#end = base + BLOCK_SIZE
      return
    }
    throw new Error(`no free ports between ${FIRST_PORT} and ${LAST_PORT}`)
  }
}

/** Whether nothing listens on this loopback port now. */
export async function isFree(port: number): Promise<boolean> {
  const server = await listen(port)
  if (server === undefined) return false
  await new Promise((resolve) => server.close(resolve))
  return true
}

function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => resolve(server))
  })
}
