import type { OncemqError } from '@oncemq/core'

/** The secret that hops are signed with: asked for once, before the first message is given. */
export class HopSecret {
  readonly #ask: () => Promise<Uint8Array>
  secret: Uint8Array | undefined

  constructor(ask: () => Promise<Uint8Array>) {
    this.#ask = ask
  }

  /** Answers why it cannot be had now; what the store throws is an error of ours. */
  async load(): Promise<OncemqError | undefined> {
    try {
      this.secret = await this.#ask()
      return undefined
    } catch (error) {
      return error as OncemqError
    }
  }
}
