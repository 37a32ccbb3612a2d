/** Where the servers are, by the environment. */
const env = process.env

export const RABBITMQ_URL = env['ONCEMQ_RABBITMQ_URL'] ?? env['AMQP_URL'] ?? 'amqp://127.0.0.1:5672'
export const POSTGRES_URL = env['ONCEMQ_POSTGRES_URL'] ?? 'postgres://postgres@127.0.0.1/postgres'
export const REDIS_URL = env['ONCEMQ_REDIS_URL'] ?? 'redis://127.0.0.1:6379'
export const ROCKETMQ_URL = env['ONCEMQ_ROCKETMQ_URL'] ?? 'rocketmq://127.0.0.1:8081'
/** They have to exist: a RocketMQ client cannot make them. */
export const ROCKETMQ_TOPIC = env['ONCEMQ_TOPIC'] ?? 'orders'
export const ROCKETMQ_GROUP = env['ONCEMQ_GROUP'] ?? 'billing'
