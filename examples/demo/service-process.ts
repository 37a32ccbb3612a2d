import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { RunningService } from './demo-broker.ts'
import { Failure } from './failure.ts'
import type { Assignment } from './payment-service-process.ts'

const SERVICE = fileURLToPath(new URL('payment-service-process.ts', import.meta.url))

const STOP_MAX_MS = 20_000

/** Starts a payment service as a process of its own, which a plan may kill with -9. */
export async function startServiceProcess(assignment: Assignment): Promise<RunningService> {
  const child = fork(SERVICE, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const exited = once(child, 'exit').then(() => undefined)
  child.send(assignment)
  await Promise.race([once(child, 'message'), exited.then(() => Promise.reject(diedAtStart(child)))])
  return {
    ended: exited,
    async stop() {
      if (child.connected) child.send('stop', () => undefined)
      // One that waits for a fault which does not come would wait for ever, and who looks on with it.
      await Promise.race([exited, delay(STOP_MAX_MS, undefined, { ref: false })])
      child.kill('SIGKILL')
      await exited
    },
  }
}

function diedAtStart({ exitCode, signalCode }: ChildProcess): Failure {
  const end = signalCode ?? `exit code ${exitCode}`
  return new Failure(
    `the payment service: expected it to start, received its end (${end}); what it printed says why`,
  )
}
