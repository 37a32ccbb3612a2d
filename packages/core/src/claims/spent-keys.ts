import type { Identity } from '../delivery/identity.ts'

/** More than messages are held by one process. */
const KEYS_MAX = 10_000

/** The attempt after which a message was dead-lettered. */
export interface LastAttempt {
  readonly attempt: number
  /** When its dead letter was durable, of the monotonic clock. */
  readonly endedMs: number
}

/**
 * Keys that were forgiven here, with the attempt that was their last. A message that was held by then is the
 * same event, for which no attempt was left, and not the replay that the key was forgiven for: that comes
 * after its dead letter.
 */
export class SpentKeys {
  readonly #spent = new Map<string, LastAttempt & Pick<Identity, 'fingerprint'>>()

  forgiven({ id, fingerprint }: Identity, last: LastAttempt): void {
    this.#spent.delete(id)
    this.#spent.set(id, { ...last, fingerprint })
    if (this.#spent.size <= KEYS_MAX) return
    const [oldest] = this.#spent.keys()
    this.#spent.delete(oldest as string)
  }

  /** The last attempt of the event of a message that is held since `heldSinceMs`. */
  lastOf({ id, fingerprint }: Identity, heldSinceMs: number | undefined): LastAttempt | undefined {
    const last = heldSinceMs === undefined ? undefined : this.#spent.get(id)
    if (heldSinceMs === undefined || last === undefined || last.endedMs < heldSinceMs) return undefined
    const isKnown = last.fingerprint !== undefined && fingerprint !== undefined
    return isKnown && last.fingerprint !== fingerprint ? undefined : last
  }
}
