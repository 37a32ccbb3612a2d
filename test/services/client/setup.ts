import { openConnection, SOCKET_VARIABLE, startSupervisor } from './connection.ts'

/** Runs once around all tests: one supervisor owns the servers that the test files share. */
export default async function setup(): Promise<() => Promise<void>> {
  let isOver = false
  const socketPath = await startSupervisor({
    onEnd(how) {
      if (!isOver) process.stderr.write(`the process that owns the servers ended amid the tests: ${how}\n`)
    },
  })
  process.env[SOCKET_VARIABLE] = socketPath
  return async () => {
    isOver = true
    const connection = await openConnection(socketPath).catch(() => undefined)
    await connection?.endSupervisor()
  }
}
