/** So many permits; whoever finds none waits, and is served in the order of arrival. */
export class Semaphore {
  readonly #waiting = new Set<() => void>()
  #free: number

  constructor(permits: number) {
    this.#free = permits
  }

  /** How many permits nobody has. */
  get free(): number {
    return this.#free
  }

  /** Takes a permit if there is one. */
  tryAcquire(): boolean {
    if (this.#free <= 0) return false
    this.#free -= 1
    return true
  }

  /** Resolves with a permit. Rejects with the signal's reason when it aborts before there is one. */
  async acquire(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (this.tryAcquire()) return
    await new Promise<void>((resolve, reject) => {
      const next = (): void => {
        signal?.removeEventListener('abort', aborted)
        resolve()
      }
      const aborted = (): void => {
        this.#waiting.delete(next)
        reject(signal?.reason as Error)
      }
      signal?.addEventListener('abort', aborted, { once: true })
      this.#waiting.add(next)
    })
  }

  /** Gives a permit to the next that waits. */
  release(): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#free += 1
      return
    }
    this.#waiting.delete(next)
    next()
  }
}
