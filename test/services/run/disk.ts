import { readFile } from 'node:fs/promises'
import { run } from '../install/command.ts'

/** Puts a disk of its own over the folder, small enough to be filled. For that one has to be root. */
export async function mountDisk(folder: string, megabytes: number): Promise<void> {
  await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=711`, 'oncemq-disk', folder])
}

/** Takes away the disks at or below the folder; also those that a process left which was killed. */
export async function unmountDisks(folder: string): Promise<void> {
  const mounts = await readFile('/proc/self/mounts', 'utf8').catch(() => '')
  const points = mounts.split('\n').map((line) => line.split(' ')[1] ?? '')
  for (const point of points.filter((path) => path === folder || path.startsWith(`${folder}/`))) {
    // Lazy, as a server that was just killed may still have a child on it.
    await run('umount', ['--lazy', point])
  }
}
