import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Unavailable } from './command.ts'

/**
 * Runs `work` while no other process of this machine holds `file`. The kernel's own lock is used, through the
 * program `flock`, as it ends with its holder: a killed installer never leaves a lock behind.
 */
export async function withLock<T>(file: string, work: () => Promise<T>): Promise<T> {
  // `cat` ends when our end of the pipe does, so also when this process is killed.
  const holder = spawn('flock', [file, 'sh', '-c', 'echo locked; exec cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
  })
  const failed = once(holder, 'exit').then(
    () => Promise.reject(new Unavailable(`cannot lock ${file}`)),
    () => Promise.reject(new Unavailable('needs flock (package util-linux), which is missing here')),
  )
  try {
    await Promise.race([once(holder.stdout, 'data'), failed])
    return await work()
  } finally {
    holder.stdin.end()
  }
}
