import { setTimeout as delay } from 'node:timers/promises'

const WAIT_MS = 40_000
const LOOK_EVERY_MS = 20

/** Waits until `look` answers true. Rejects, saying for what it waited, when it does not in time. */
export async function until(
  what: string,
  look: () => boolean | Promise<boolean>,
  waitMs = WAIT_MS,
): Promise<void> {
  const endMs = performance.now() + waitMs
  while (!(await look())) {
    if (performance.now() > endMs) throw new Error(`waited ${waitMs} ms for: ${what}`)
    await delay(LOOK_EVERY_MS)
  }
}
