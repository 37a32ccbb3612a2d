// What the pages show of the core, run on the store in memory.
import { subscribe } from 'node:diagnostics_channel'
import { createDeduplicator, MemoryStore, PermanentError } from '@oncemq/core'

const mail = { send: async (to: string, key: string | undefined) => console.log(`mail to ${to}, id ${key}`) }

// #region first
const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'welcome-mail' })

const outcome = await dedup.run('user-7:registered', async ({ key, signal }) => {
  signal.throwIfAborted() // the lease is lost: another worker may have begun
  await mail.send('ada@example.org', key) // the key is an id that the other side can use too
})
console.log(outcome.status)
// #endregion

console.log((await dedup.run('user-7:registered', () => console.log('never printed'))).status)

// #region permanent
const refused = dedup.run('user-8:registered', () => {
  throw new PermanentError('the address does not exist')
})
// #endregion
console.log(await refused.catch((error: Error) => error.message))

// #region events
dedup.on('outage', ({ error }) => console.error(`the store is down (${error.code}), messages are held`))
dedup.on('recovered', ({ downMs }) => console.log(`the store is back after ${downMs} ms`))
dedup.on('deadLettered', ({ source, reason }) => console.error(`dead-lettered from ${source}: ${reason}`))
dedup.on('unconfirmed', ({ epoch }) => console.error(`the effect is there, its record is late (${epoch})`))
dedup.on('warning', ({ message }) => console.error(message))
dedup.on('finding', ({ severity, found, remedy }) => console.log(`${severity}: ${found} ${remedy}`))
// #endregion

// #region diagnostics
subscribe('oncemq:duplicate', (event) => {
  const { consumerGroup, source } = event as { consumerGroup: string; source: string }
  console.log(`${consumerGroup}: a duplicate, known from the ${source}`)
})
// #endregion
await dedup.run('user-7:registered', () => undefined)

// #region counts
const { completed, duplicate, failed } = dedup.counts()
console.log({ completed, duplicate, failed })
// #endregion

// #region replay
const record = await dedup.inspect('user-7:registered')
console.log(record?.state, record?.epoch)

await dedup.forget('user-7:registered') // the next run with this key works again
await dedup.forget('order-7', { source: 'orders' }) // the key of a message from the queue 'orders'
// #endregion
const again = await dedup.run('user-7:registered', ({ key }) => mail.send('ada@example.org', key))
console.log(again.status)

// #region logger
const logged = createDeduplicator({
  store: new MemoryStore(),
  consumerGroup: 'welcome-mail',
  logger: console, // or pino, or winston: anything with warn(message)
})
// #endregion
await logged.close()

// #region close
await dedup.close() // waits for the handlers that run, then closes the store
// #endregion
