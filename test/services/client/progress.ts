interface Step {
  readonly name: string
  readonly state: string
}

/** Says on stderr, one line each, when a server comes to another state. */
export class Progress {
  readonly #started = performance.now()
  readonly #states = new Map<string, string>()

  show(steps: readonly Step[]): void {
    for (const { name, state } of steps) {
      if (this.#states.get(name) === state) continue
      this.#states.set(name, state)
      const seconds = ((performance.now() - this.#started) / 1000).toFixed(1)
      process.stderr.write(`${seconds.padStart(6)} s  ${name} ${state}\n`)
    }
  }
}
