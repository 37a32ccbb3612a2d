import assert from 'node:assert/strict'

const LOOK_EVERY_MS = 10

/** How a case waits: for what must come, and for what must not. */
export interface Waiting {
  /** Waits until `look` answers true. Rejects, saying for what it waited, when it does not in time. */
  readonly until: (what: string, look: () => boolean | Promise<boolean>) => Promise<void>
  /** Lets pass what may still come, to show that nothing does. */
  readonly quiet: () => Promise<void>
}

export function waiting(waitMs: number, quietMs: number): Waiting {
  return {
    async until(what, look) {
      const endMs = performance.now() + waitMs
      while (!(await look())) {
        assert.ok(performance.now() < endMs, `expected within ${waitMs} ms: ${what}`)
        await pass(LOOK_EVERY_MS)
      }
    },
    quiet: () => pass(quietMs),
  }
}

/** What one side waits for and the other side gives. */
export interface Latch {
  readonly opened: Promise<void>
  open(): void
}

export function newLatch(): Latch {
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { opened, open: () => open() }
}

function pass(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs))
}
