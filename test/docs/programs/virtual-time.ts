// What the page on tests shows of virtual time.
// #region clock
import assert from 'node:assert/strict'
import { createDeduplicator, MemoryStore } from '@oncemq/core'
import { VirtualClock } from '@oncemq/core/testing'

const clock = new VirtualClock()
const store = new MemoryStore({ clock })
const dedup = createDeduplicator({ store, consumerGroup: 'billing', clock, retentionMs: 60_000 })

await dedup.run('order-7', () => console.log('billed'))
assert.equal((await dedup.run('order-7', () => console.log('never printed'))).status, 'duplicate')

clock.advance(60_000) // past the retention: the key is forgotten
assert.equal((await dedup.run('order-7', () => console.log('billed again'))).status, 'completed')
// #endregion
await dedup.close()
