import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { Failure } from './failure.ts'

const POLL_MS = 10
const WAIT_MAX_MS = 20_000

type Entry = 'delivered' | 'acked'

/**
 * What came in from the broker and what went back, one line each, written by whichever process sees it. A
 * file that is only appended to also tells of a process that was killed.
 */
export class Journal {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  note(entry: Entry, times = 1): void {
    appendFileSync(this.#path, `${entry}\n`.repeat(times))
  }

  count(entry: Entry): number {
    if (!existsSync(this.#path)) return 0
    return readFileSync(this.#path, 'utf8')
      .split('\n')
      .filter((line) => line === entry).length
  }

  /** Waits until there are that many entries. @throws Failure after 20 s. */
  async reached(entry: Entry, times: number, signal: AbortSignal): Promise<void> {
    const untilMs = performance.now() + WAIT_MAX_MS
    while (this.count(entry) < times) {
      if (performance.now() > untilMs) {
        throw new Failure(
          `the payment service: expected ${times} messages to be ${entry} within ${WAIT_MAX_MS / 1000} s, ` +
            `received ${this.count(entry)}; look at the broker, and run the demo again`,
        )
      }
      await delay(POLL_MS, undefined, { signal })
    }
  }
}
