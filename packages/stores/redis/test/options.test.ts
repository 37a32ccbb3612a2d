import type { RedisStoreOptions } from '@oncemq/redis'
import { RedisStore, redisStoreDefaults } from '@oncemq/redis'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { expect, test } from 'vitest'

const url = 'redis://127.0.0.1:6379'
const client = new Redis({ lazyConnect: true })

const wrong: readonly (readonly [what: string, options: unknown, message: RegExp])[] = [
  ['no options', undefined, /expected an options object/],
  ['neither client nor url', {}, /either client or url, received neither/],
  ['both', { url, client }, /received both/],
  ['a url that is a number', { url: 6379 }, /url: .* received 6379/],
  ['a url of another protocol', { url: 'https://127.0.0.1' }, /redis:\/\/ or rediss:\/\//],
  ['an address without a protocol', { url: '127.0.0.1:6379' }, /received another string/],
  ['a url with a port that is none', { url: 'redis://127.0.0.1:port' }, /received another string/],
  ['a foreign client', { client: { query: () => 1 } }, /client: .* received an object \(Object\)/],
  ['a class in place of a client', { client: Redis }, /client: .* received a class/],
  ['a prefix with braces', { url, prefix: 'a{b}' }, /prefix: expected letters/],
  ['a prefix with a space', { url, prefix: 'a b' }, /prefix/],
  ['an empty prefix', { url, prefix: '' }, /prefix/],
  ['a prefix that is too long', { url, prefix: 'x'.repeat(61) }, /at most 60/],
  ['a time of zero', { url, callTimeoutMs: 0 }, /callTimeoutMs: .* received 0/],
  ['an endless time', { url, callTimeoutMs: Infinity }, /received Infinity/],
  ['a misspelt option', { url, keyPrefix: 'a' }, /received 'keyPrefix'/],
]

test.each(wrong)('%s', (_what, options, message) => {
  expect(() => new RedisStore(options as { url: string })).toThrow(
    expect.objectContaining({
      code: 'ONCEMQ_OPTION_INVALID',
      message: expect.stringMatching(message) as string,
    }),
  )
})

test('a message tells no password', () => {
  expect(() => new RedisStore({ url: 'rediss//me:secret@host' })).toThrow(
    expect.not.objectContaining({ message: expect.stringContaining('secret') as string }),
  )
})

test('a constructor connects nowhere, promises little, and the defaults cannot be changed', () => {
  const unused = new RedisStore({ client })
  expect([unused.name, client.status, Object.isFrozen(redisStoreDefaults)]).toEqual(['redis', 'wait', true])
  expect(unused.guarantees).toMatchObject({ durable: false, sharedBy: 'network', transactional: false })
})

test('before open every call says so', async () => {
  const unopened = new RedisStore({ client })
  await expect(unopened.claim([])).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
  await expect(unopened.update([])).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
  await expect(unopened.inspect([])).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
  await expect(unopened.forget([])).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
  await unopened.close()
})

const unreachable: readonly (readonly [what: string, options: RedisStoreOptions, detail: string])[] = [
  ['a url where no server listens', { url: 'redis://127.0.0.1:1' }, 'ECONNREFUSED'],
  ['a client of ioredis that is closed', { client: closed() }, 'closed'],
  ['a client of redis that is not connected', { client: createClient() }, 'ClientClosedError'],
]

function closed(): Redis {
  const ended = new Redis({ lazyConnect: true })
  ended.disconnect()
  return ended
}

test.each(unreachable)(
  '%s: a message says that there is no connection, and why',
  async (_, options, detail) => {
    const store = new RedisStore({ callTimeoutMs: 1000, ...options })
    await expect(store.open()).rejects.toMatchObject({
      code: 'ONCEMQ_STORE_UNAVAILABLE',
      message:
        `RedisStore: expected an answer of the server, but there is no working connection (${detail}); ` +
        'look at the server and the network; the operation is tried again',
    })
    await store.close()
  },
)
