/** How many may work at a time; the others wait in the order in which they came. */
export class Slots {
  readonly #max: number
  readonly #waiting: (() => void)[] = []
  #taken = 0

  constructor(max: number) {
    this.#max = max
  }

  get free(): number {
    return this.#max - this.#taken
  }

  /** Resolves when there is a place. */
  async enter(): Promise<void> {
    if (this.#taken < this.#max) {
      this.#taken += 1
      return
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** Gives a place to the next that waits. */
  leave(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#taken -= 1
    else next()
  }
}
