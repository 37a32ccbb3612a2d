import type { BenchStore } from './bench-store.ts'
import { memory } from './memory.ts'
import { mongodb } from './mongodb.ts'
import { mariadb, mysql8 } from './mysql.ts'
import { postgres } from './postgres.ts'
import { redis, redisCluster } from './redis.ts'
import { sqlite } from './sqlite.ts'

/** Every store that is measured. */
export const benchStores: readonly BenchStore[] = [
  memory,
  sqlite,
  mongodb,
  postgres,
  mysql8,
  mariadb,
  redis,
  redisCluster,
]
