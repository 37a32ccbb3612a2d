import { setMaxListeners } from 'node:events'

/**
 * Signals that abort with one of many others, or with the end of their owner. One for all deliveries of a
 * source: a signal remembers each that was ever made of it.
 */
export class JoinedSignals {
  readonly #end: AbortSignal
  readonly #joined = new WeakMap<AbortSignal, AbortSignal>()

  constructor(end: AbortSignal) {
    this.#end = end
    setMaxListeners(0, end)
  }

  /** Aborts with `signal` or at the end. */
  with(signal: AbortSignal | undefined): AbortSignal {
    if (signal === undefined) return this.#end
    const known = this.#joined.get(signal)
    if (known !== undefined) return known
    const made = AbortSignal.any([signal, this.#end])
    setMaxListeners(0, made)
    this.#joined.set(signal, made)
    return made
  }
}
