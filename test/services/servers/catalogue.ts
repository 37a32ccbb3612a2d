import { kafkaServers } from './kafka.ts'
import { mariadbServers } from './mariadb.ts'
import { mongodbServers } from './mongodb.ts'
import { mysqlServers } from './mysql.ts'
import { pgbouncerServers } from './pgbouncer.ts'
import { postgresServers } from './postgres.ts'
import { rabbitmqServers } from './rabbitmq.ts'
import { redisServers } from './redis.ts'
import { rocketmqServers } from './rocketmq/recipe.ts'

/** Every server that the tests can have. */
export const servers = [
  ...rabbitmqServers,
  ...mongodbServers,
  ...redisServers,
  ...postgresServers,
  ...pgbouncerServers,
  ...mysqlServers,
  ...mariadbServers,
  ...rocketmqServers,
  ...kafkaServers,
] as const

export type ServerName = (typeof servers)[number]['name']
