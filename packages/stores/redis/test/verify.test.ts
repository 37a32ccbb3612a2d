import { createDeduplicator } from '@oncemq/core'
import type { Finding } from '@oncemq/core/store'
import { RedisStore } from '@oncemq/redis'
import { describeService } from '@oncemq/test-services/vitest'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { afterEach, describe, expect, test } from 'vitest'
import { drivers, ending } from './drivers.ts'
import { BOUND } from '@oncemq/test-stores/load'
import { newHex } from '@oncemq/test-stores'
import { LIFE, lifeOf } from './life.ts'

const USER = 'consumer'
// The README's line.
const GRANTS = '~oncemq:* +evalsha +eval +get +set +setrange +mget +unlink +time +info +config|get'

function told(findings: readonly Finding[]): string[] {
  return findings.map(({ severity, code }) => `${severity} ${code}`)
}

async function openedAs(url: string, rules: string) {
  const admin = new Redis(url)
  await admin.call('ACL', 'SETUSER', USER, 'reset', 'on', '>secret', ...rules.split(' '))
  admin.disconnect()
  const options = { username: USER, password: 'secret', enableReadyCheck: false }
  const store = new RedisStore({
    client: ending(new Redis(url, options), (client) => client.disconnect()),
  })
  return { store, findings: await store.open() }
}

describeService('redis-8', { own: true }, ({ url }) => {
  const admin = ending(new Redis(url), (client) => client.disconnect())

  /** Settings for one test. */
  async function configure(settings: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, value] of Object.entries(settings)) await admin.config('SET', name, value)
  }

  afterEach(async () => {
    await configure({
      'maxmemory-policy': 'noeviction',
      appendonly: 'yes',
      appendfsync: 'everysec',
      save: '',
    })
  })

  test.each(drivers)('$name: everything on the disk at once leaves nothing to say', async ({ single }) => {
    await configure({ appendfsync: 'always' })
    const store = new RedisStore({ client: await single(url) })
    expect(await store.open()).toEqual([])
    expect(store.guarantees.durable).toBe(true)
  })

  test.each(['everysec', 'no'])('appendfsync %s is reported', async (appendfsync) => {
    await configure({ appendfsync })
    for (const { single } of drivers) {
      const store = new RedisStore({ client: await single(url) })
      const findings = await store.open()
      expect(told(findings)).toEqual(['warning redis-appendfsync'])
      expect(findings[0]?.found).toContain('may run again')
      expect(store.guarantees.durable).toBe(false)
    }
  })

  test('persistence that is off is reported, and snapshots are not enough', async () => {
    const client = ending(new Redis(url), (opened) => opened.disconnect())
    await configure({ appendonly: 'no' })
    const off = await new RedisStore({ client }).open()
    expect(told(off)).toEqual(['warning redis-persistence'])
    expect(off[0]?.found).toContain('forgets every record')
    await configure({ save: '3600 1' })
    const snapshots = await new RedisStore({ client }).open()
    expect(told(snapshots)).toEqual(['warning redis-persistence'])
    expect(snapshots[0]?.found).toContain('since the last snapshot')
  })

  const policies = ['allkeys-lru', 'allkeys-random', 'volatile-lru', 'volatile-lfu', 'volatile-ttl']
  test.each(policies)('the eviction policy %s is refused unless it is accepted', async (policy) => {
    await configure({ 'maxmemory-policy': policy })
    const refused = createDeduplicator({ store: new RedisStore({ url }), consumerGroup: 'billing' })
    await expect(refused.open()).rejects.toMatchObject({
      code: 'ONCEMQ_STORE_UNSAFE',
      message: expect.stringMatching(/maxmemory-policy noeviction/) as string,
    })
    await refused.close()
    const accepted = createDeduplicator({
      store: new RedisStore({ url }),
      consumerGroup: 'billing',
      acceptFindings: ['redis-eviction'],
    })
    expect((await accepted.run(newHex(), () => Promise.resolve())).status).toBe('completed')
    await accepted.close()
  })

  test('a replica is told as what may be behind', async () => {
    const replica = await startReplica()
    const findings = await new RedisStore({ client: admin }).open()
    expect(told(findings)).toContain('info redis-replication')
    replica.destroy()
  })

  /** Speaks as a replica does, as far as the server counts it. */
  async function startReplica() {
    const replica = createClient({ url, RESP: 2, disableOfflineQueue: true })
    replica.on('error', () => {})
    await replica.connect()
    await replica.sendCommand(['REPLCONF', 'listening-port', '1'])
    // Its answer is a snapshot and a stream, which this client does not understand.
    replica.sendCommand(['PSYNC', '?', '-1']).catch(() => {})
    await expect.poll(async () => /connected_slaves:1/.test(await admin.info()), BOUND).toBe(true)
    return replica
  }

  test("a user with the README's grants has everything that is needed", async () => {
    const { store, findings } = await openedAs(url, GRANTS)
    expect(told(findings)).toEqual(['warning redis-appendfsync'])
    expect(await lifeOf(store)).toEqual(LIFE)
    const [id] = [newHex()]
    expect(await store.inspect([id])).toEqual([undefined])
    await store.forget([id])
  })

  test('ten stores open at once', async () => {
    const stores = Array.from({ length: 10 }, () => new RedisStore({ url }))
    await Promise.all(stores.map((store) => store.open()))
    for (const store of stores) expect(await lifeOf(store)).toEqual(LIFE)
    await Promise.all(stores.map((store) => store.close()))
  })

  test.each(['-config', '-config -info'])('settings hidden by %s are no failure', async (hidden) => {
    const { store, findings } = await openedAs(url, `${GRANTS} ${hidden}`)
    expect(told(findings)).toEqual(['info redis-settings-hidden'])
    expect(store.guarantees.durable).toBe(false)
    expect(await lifeOf(store)).toEqual(LIFE)
  })
})

// Each of them has words of its own for this.
describe.each(['redis-7', 'redis-8', 'valkey-8'] as const)('users', (name) => {
  describeService(name, { own: true }, ({ url }) => {
    const fewer = [
      ['may not write', `${GRANTS} -set`],
      ['has other keys', GRANTS.replace('~oncemq:*', '~other:*')],
    ] as const
    test.each(fewer)('a user who %s is refused at the start', async (_what, rules) => {
      const { store } = await openedAs(url, rules)
      const dedup = createDeduplicator({ store, consumerGroup: 'billing' })
      await expect(dedup.open()).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED', retryable: false })
      await dedup.close()
    })
  })
})
