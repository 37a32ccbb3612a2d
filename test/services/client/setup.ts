import { openConnection, SOCKET_VARIABLE, startSupervisor } from './connection.ts'

/** Runs once around all tests: one supervisor owns the servers that the test files share. */
export default async function setup(): Promise<() => Promise<void>> {
  const socketPath = await startSupervisor()
  process.env[SOCKET_VARIABLE] = socketPath
  return async () => {
    const connection = await openConnection(socketPath)
    await connection.endSupervisor()
  }
}
