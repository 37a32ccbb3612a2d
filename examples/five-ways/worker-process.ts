import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Assignment } from './assignment.ts'
import type { Worker } from './scenario.ts'
import type { Told } from './watch.ts'

const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url))

/** Starts a worker process, and answers when it consumes. */
export async function startWorkerProcess(
  assignment: Assignment,
  tell: (told: Told) => void,
): Promise<Worker> {
  const child = fork(WORKER, [JSON.stringify(assignment)])
  const { promise: ready, resolve } = Promise.withResolvers<void>()
  child.on('message', (told: Told | 'ready') => (told === 'ready' ? resolve() : tell(told)))
  const ended = once(child, 'exit').then(([code]) => {
    // Without a code a signal ended it, which was its own.
    if (typeof code === 'number' && code !== 0)
      throw new Error(`a worker ended by itself, with exit code ${code}`)
  })
  // Whoever waits for it hears of it.
  ended.catch(() => undefined)
  await Promise.race([ready, ended])
  return {
    ended,
    async stop() {
      // It may have ended just now.
      if (child.connected) child.send('stop', () => undefined)
      await ended
    },
  }
}
