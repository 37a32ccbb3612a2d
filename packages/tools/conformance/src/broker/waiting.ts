import assert from 'node:assert/strict'

const WAIT_MS = 20_000
const LOOK_EVERY_MS = 10
const QUIET_MS = 300

/** Waits until `look` answers true. Rejects, saying for what it waited, when it does not in time. */
export async function until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + WAIT_MS
  while (!(await look())) {
    assert.ok(performance.now() < endMs, `expected within ${WAIT_MS} ms: ${what}`)
    await pass(LOOK_EVERY_MS)
  }
}

/** Lets pass what may still come, to show that nothing does. */
export async function quiet(): Promise<void> {
  await pass(QUIET_MS)
}

/** What one side waits for and the other side gives. */
export interface Latch {
  readonly opened: Promise<void>
  open(): void
}

export function latch(): Latch {
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { opened, open: () => open() }
}

function pass(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs))
}
