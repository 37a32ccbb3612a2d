/** So many permits; whoever finds none waits, and is served in the order of arrival. */
export class Semaphore {
  readonly #waiting: (() => void)[] = []
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

  /** Resolves with a permit. */
  async acquire(): Promise<void> {
    if (this.tryAcquire()) return
    await new Promise<void>((resolve) => void this.#waiting.push(resolve))
  }

  /** Gives a permit to the next that waits. */
  release(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free += 1
    else next()
  }
}
