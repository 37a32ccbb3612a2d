import type { Deduplicator } from '@oncemq/core'

/** What `@nestjs/terminus` takes from an indicator. */
export type OncemqHealth = Record<
  string,
  { readonly status: 'up' | 'down'; readonly [detail: string]: unknown }
>

/**
 * Tells `@nestjs/terminus` whether the store can be reached.
 * @example
 * this.health.check([() => this.oncemq.isHealthy('oncemq')])
 */
export class OncemqHealthIndicator {
  readonly #deduplicator: Deduplicator<never>

  constructor(deduplicator: Deduplicator<never>) {
    this.#deduplicator = deduplicator
  }

  isHealthy(name = 'oncemq'): OncemqHealth {
    const { outage } = this.#deduplicator
    if (outage === undefined) return { [name]: { status: 'up' } }
    return { [name]: { status: 'down', code: outage.code } }
  }
}
