import { execFile } from 'node:child_process'
import { appendFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Server } from './client/service.ts'

// The last bytes are taken one page at a time.
const PIECES = [1024 * 1024, 4096].map((bytes) => Buffer.alloc(bytes))

/** Why no server can have a small disk here (`diskMb`); `undefined` if it can. Leaves nothing behind. */
export async function whyNoDisk(): Promise<string | undefined> {
  const mount = promisify(execFile)('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'oncemq-disk', '/mnt'])
  return mount.then(
    () => undefined,
    () => 'a disk that can be filled needs root and the right to mount',
  )
}

/** Takes all room that is left on the disk of a server with `diskMb`, and answers how to give it back. */
export async function fillDisk({ nodes }: Server): Promise<() => Promise<void>> {
  const ballast = join(dirname(nodes[0]?.log ?? ''), 'ballast')
  for (const piece of PIECES) await appendUntilFull(ballast, piece)
  return () => rm(ballast)
}

async function appendUntilFull(file: string, piece: Buffer): Promise<void> {
  for (;;) {
    try {
      await appendFile(file, piece)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return
      throw error
    }
  }
}
