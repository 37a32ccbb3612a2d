import { createServer } from 'node:net'

/**
 * A process beside the measured one that answers each byte by one: whoever sends it `n` bytes has `n`
 * messages on their way to him, and asks for the next one with each that he is done with. So messages arrive
 * as from a broker, from outside of the event loop that handles them.
 */
const server = createServer((socket) => {
  socket.setNoDelay(true)
  socket.on('error', () => socket.destroy())
  socket.pipe(socket)
})
server.listen(0, '127.0.0.1', () => process.send?.(server.address()))
process.on('disconnect', () => process.exit())
