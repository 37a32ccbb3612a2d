import type { Deduplicator } from '@oncemq/core'

/** What `@nestjs/terminus` takes from an indicator. */
export type OncemqHealth = Record<
  string,
  { readonly status: 'up' | 'down'; readonly [detail: string]: unknown }
>

/**
 * Tells `@nestjs/terminus` whether the store can be reached, as far as is known without asking it: an outage
 * is noticed by the first call that fails.
 * @example
 * this.health.check([() => this.oncemq.isHealthy('oncemq')])
 */
export class OncemqHealthIndicator {
  readonly #deduplicator: Deduplicator<never>

  constructor(deduplicator: Deduplicator<never>) {
    this.#deduplicator = deduplicator
  }

  isHealthy(name = 'oncemq'): OncemqHealth {
    const { isReady, ...details } = this.#deduplicator.health()
    return { [name]: { status: isReady ? 'up' : 'down', ...details } }
  }
}
