// A CommonJS service: loads everything by require, and runs.
const { createDeduplicator, MemoryStore } = require('@oncemq/core')
const { SqliteStore } = require('@oncemq/sqlite')
const { LifeCycle } = require('@oncemq/core/store')
const { ManagedConsumer } = require('@oncemq/core/broker')
const { VirtualClock } = require('@oncemq/core/testing')
const adapters = ['kafka', 'rabbitmq', 'rocketmq', 'mongodb', 'mysql', 'postgres', 'redis']

async function main() {
  const loaded = adapters.map((name) => Object.keys(require(`@oncemq/${name}`)).length > 0)
  const doors = [LifeCycle, ManagedConsumer, VirtualClock].map((each) => typeof each)
  const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'billing' })
  const outcomes = [await dedup.run('a', () => 1), await dedup.run('a', () => 2)]
  await dedup.close()
  let sqlite = 'works'
  try {
    new SqliteStore({ path: ':memory:' })
  } catch (error) {
    sqlite = error.message
  }
  const statuses = outcomes.map(({ status }) => status)
  console.log(JSON.stringify({ loaded: loaded.every(Boolean), doors, statuses, sqlite }))
}

void main()
