export type {
  IoredisClient,
  IoredisCluster,
  NodeRedisClient,
  NodeRedisCluster,
  RedisClient,
} from './client.ts'
export { redisStoreDefaults } from './options.ts'
export type { RedisStoreOptions } from './options.ts'
export { RedisStore } from './store.ts'
