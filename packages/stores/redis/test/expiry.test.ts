import type { ClaimUpdate } from '@oncemq/core/store'
import { RedisStore } from '@oncemq/redis'
import { describeService } from '@oncemq/test-services/vitest'
import { claimOf, completionOf, newHex } from '@oncemq/test-stores'
import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { ending } from './drivers.ts'

const LEASE_MS = 60_000
const RETENTION_MS = 600_000
const TOLERANCE_MS = 10_000
const result = Buffer.from('kept')

const update = {
  renewal: (claim) => ({ ...claim, op: 'renew' }),
  release: (claim) => ({ ...claim, op: 'release', attempts: 1 }),
  completion: (claim) => completionOf(claim),
  'completion with a result': (claim) => ({ ...completionOf(claim), result }),
  'completion that is kept for longer': (claim) => ({
    ...completionOf(claim),
    retentionMs: 2 * RETENTION_MS,
  }),
} satisfies Record<string, (claim: ReturnType<typeof claimOf>) => ClaimUpdate>

describeService('redis-8', ({ url }) => {
  // The key's own expiry, beside the times that are in the record: whoever asks the store sees only those.
  test.each([
    ['renewal', LEASE_MS + RETENTION_MS],
    ['release', RETENTION_MS],
    ['completion with a result', RETENTION_MS],
    ['completion that is kept for longer', 2 * RETENTION_MS],
    // The claim's expiry is long enough, and stays.
    ['completion', LEASE_MS + RETENTION_MS],
  ] as const)('after a %s the key stays for %i ms', async (what, expectedMs) => {
    const prefix = newHex()
    const admin = ending(new Redis(url), (client) => client.disconnect())
    const store = new RedisStore({ url, prefix })
    await store.open()
    const claim = claimOf({ leaseMs: LEASE_MS, retentionMs: RETENTION_MS })
    await store.claim([claim])
    expect(await store.update([update[what](claim)])).toEqual(['ok'])
    const [key = ''] = await admin.keys(`${prefix}:*`)
    const lastsMs = await admin.pttl(key)
    expect(lastsMs).toBeLessThanOrEqual(expectedMs)
    expect(lastsMs).toBeGreaterThan(expectedMs - TOLERANCE_MS)
    await store.close()
  })
})
