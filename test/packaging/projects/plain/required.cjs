// A CommonJS service: loads everything by require, and runs.
const { LifeCycle } = require('@oncemq/core/store')
const { ManagedConsumer } = require('@oncemq/core/broker')
const { VirtualClock } = require('@oncemq/core/testing')
const { check } = require('./checks.cjs')
const adapters = ['kafka', 'rabbitmq', 'rocketmq', 'mongodb', 'mysql', 'postgres', 'redis']

void check({
  core: require('@oncemq/core'),
  sqlite: require('@oncemq/sqlite'),
  doors: [LifeCycle, ManagedConsumer, VirtualClock],
  adapters: adapters.map((name) => require(`@oncemq/${name}`)),
})
