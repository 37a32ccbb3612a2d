import { Gate } from './gate.ts'

/** One key in flight. Most are gone before anyone waits for them. */
export class InFlightKey {
  #gate: Gate | undefined

  /** Opens when the key's delivery ends. */
  get ended(): Gate {
    return (this.#gate ??= new Gate())
  }

  end(): void {
    this.#gate?.open()
  }
}

/** The keys that this process is claiming or processing, each with the deliveries that wait for its end. */
export class InFlight {
  readonly #keys = new Map<string, InFlightKey>()
  /** Opens when nothing is in flight any more. */
  readonly idle = new Gate()

  get size(): number {
    return this.#keys.size
  }

  get(id: string): InFlightKey | undefined {
    return this.#keys.get(id)
  }

  enter(id: string): void {
    this.#keys.set(id, new InFlightKey())
  }

  leave(id: string): void {
    const key = this.#keys.get(id)
    if (key === undefined) return
    this.#keys.delete(id)
    key.end()
    if (this.#keys.size === 0) this.idle.open()
  }
}
