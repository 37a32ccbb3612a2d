// Two versions of core: the service's, and the one that npm put below a store and an adapter.
import { createRequire } from 'node:module'
import { createDeduplicator, isOncemqError, PermanentError } from '@oncemq/core'
import { SqliteStore } from '@oncemq/sqlite'
import * as other from 'other-core'

const [a, b] = ['@oncemq/core', '@oncemq/sqlite'].map((name) =>
  createRequire(createRequire(import.meta.url).resolve(name))('@oncemq/core/package.json'),
)
const store = new SqliteStore({ path: ':memory:' })
const options = { store, consumerGroup: 'billing', strategy: 'transactional' }
const dedup = createDeduplicator(options)
const second = other.createDeduplicator(options)

await dedup.run('prepare', ({ tx }) => tx.exec('CREATE TABLE orders (id TEXT PRIMARY KEY)'))
const insert = ({ tx }) => tx.exec("INSERT INTO orders VALUES ('a')")
const statuses = [await dedup.run('a', insert), await second.run('a', insert)].map(({ status }) => status)

// A unique key's violation is known by the store's copy, and told to the service's.
const { naturalKey } = other
const guarded = createDeduplicator({ ...options, strategy: naturalKey({ constraint: 'orders.id' }) })
statuses.push((await guarded.run('b', insert)).status)

// An error of the one copy is what it is to the other.
let thrown
await dedup
  .run('c', () => {
    throw new other.PermanentError('closed')
  })
  .catch((error) => (thrown = error))
const errors = [isOncemqError(thrown), thrown.code, thrown instanceof PermanentError]

// The store closes with the last of both, and not before.
await dedup.close()
await guarded.close()
statuses.push((await second.run('a', insert)).status)
await second.close()
const closed = await store.claim([]).then(
  () => 'open',
  (error) => error.code,
)
console.log(JSON.stringify({ versions: [a.version, b.version], statuses, errors, closed }))
