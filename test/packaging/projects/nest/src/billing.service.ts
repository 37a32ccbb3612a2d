import { Inject, Injectable, OnApplicationShutdown } from '@nestjs/common'
import type { Deduplicator } from '@oncemq/core'

export const DEDUP = Symbol('dedup')

@Injectable()
export class BillingService implements OnApplicationShutdown {
  charged = 0

  constructor(@Inject(DEDUP) private readonly dedup: Deduplicator) {}

  async charge(key: string): Promise<string> {
    const { status } = await this.dedup.run(key, () => {
      this.charged += 1
    })
    return status
  }

  async onApplicationShutdown(): Promise<void> {
    await this.dedup.close()
  }
}
