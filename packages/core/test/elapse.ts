import type { VirtualClock } from '../src/testing/index.ts'

/** Lets everything that needs no time run to where it waits for time, for a store or for a handler. */
export async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}

/** Moves time on, timer by timer, and lets what each of them set off come to rest before the next. */
export async function elapse(clock: VirtualClock, byMs: number): Promise<void> {
  const untilMs = clock.monotonicMs() + byMs
  await settle()
  for (;;) {
    const leftMs = untilMs - clock.monotonicMs()
    const stepMs = Math.min(leftMs, clock.nextInMs ?? leftMs)
    clock.advance(stepMs)
    await settle()
    if (stepMs === leftMs) return
  }
}
