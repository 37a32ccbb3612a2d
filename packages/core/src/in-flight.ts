import { Gate } from './gate.ts'

/** The keys that this process is claiming or processing, each with the deliveries that wait for its end. */
export class InFlight {
  readonly #entries = new Map<string, Gate>()
  readonly #idle = new Gate()

  get size(): number {
    return this.#entries.size
  }

  /** Opens when the key's delivery ends; `undefined` for a key that is not in flight. */
  get(id: string): Gate | undefined {
    return this.#entries.get(id)
  }

  enter(id: string): Gate {
    const entry = new Gate()
    this.#entries.set(id, entry)
    return entry
  }

  /** Ends the key's entry, or only `entry`: another delivery may have entered the key meanwhile. */
  leave(id: string, entry = this.#entries.get(id)): void {
    if (entry === undefined || this.#entries.get(id) !== entry) return
    this.#entries.delete(id)
    entry.open()
    if (this.#entries.size === 0) this.#idle.open()
  }

  /** Opens when nothing is in flight any more. */
  get idle(): Gate {
    return this.#idle
  }
}
