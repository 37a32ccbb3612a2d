import type { Socket } from 'node:net'
import { connect, createServer } from 'node:net'

/**
 * A process that stands between a client and its server and holds up whatever passes, in both directions, as
 * a network does: bytes that are sent one after the other are on their way at the same time.
 */
const [host, port, delayMs] = process.argv.slice(2)

function carry(from: Socket, to: Socket): void {
  from.on('data', (chunk) => void setTimeout(() => to.write(chunk), Number(delayMs)))
  from.on('close', () => to.destroy())
  from.on('error', () => to.destroy())
}

const proxy = createServer({ noDelay: true }, (client) => {
  const server = connect({ host, port: Number(port), noDelay: true })
  carry(client, server)
  carry(server, client)
})
proxy.listen(0, '127.0.0.1', () => process.send?.(proxy.address()))
process.on('disconnect', () => process.exit())
