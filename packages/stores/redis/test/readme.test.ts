// The README shows parts of this file.
// #region imports
import { createDeduplicator } from '@oncemq/core'
import { RedisStore } from '@oncemq/redis'
import { Redis } from 'ioredis'
// #endregion
import { describeService } from '@oncemq/test-services/vitest'
import { expect, test } from 'vitest'

describeService('redis-8', ({ url }) => {
  test('the key runs once', async () => {
    process.env['REDIS_URL'] = url
    const charged: string[] = []
    const charge = async (event: string) => void charged.push(event)
    // #region lease
    const client = new Redis(process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379')
    const store = new RedisStore({ client })
    const dedup = createDeduplicator({ store, consumerGroup: 'billing' })

    // However often it is called, and wherever: charges once.
    await dedup.run('stripe:evt_1', () => charge('evt_1'))
    await dedup.close()
    await client.quit()
    // #endregion
    expect(charged).toEqual(['evt_1'])
  })
})
